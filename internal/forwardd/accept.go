package forwardd

import (
	"errors"
	"net"
	"time"

	"shellagent/internal/forward"
)

// shortOfFiles is how long to wait when a connection could not be accepted for
// want of descriptors: it is still there then.
const shortOfFiles = 200 * time.Millisecond

// accept hands what comes in at one listener to the client, until it is closed.
func (s *server) accept(l *listening, on net.Listener) {
	for {
		conn, err := on.Accept()
		switch {
		case err == nil:
		case errors.Is(err, net.ErrClosed):
			return
		default:
			select {
			case <-time.After(shortOfFiles):
				continue
			case <-s.ctx.Done():
				return
			}
		}
		if !s.enter() {
			s.shed(l, conn)
			continue
		}
		if !s.beginPending() {
			s.leave()
			s.shed(l, conn)
			continue
		}
		s.wait.Go(func() {
			defer s.leave()
			s.deliver(l, conn)
		})
	}
}

// shed breaks a connection that there is no room for.
func (s *server) shed(l *listening, conn net.Conn) {
	q := l.q
	q.Do = DoAccept
	s.never(q, &forward.Refusal{Code: forward.CodeLimit})
	forward.Socket(conn).Reset()
}

// deliver asks whether the connection may come in, tells the client, and copies.
func (s *server) deliver(l *listening, conn net.Conn) {
	q := l.q
	q.Do = DoAccept
	if tcp, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		q.From = tcp.AddrPort().String()
	}
	stream, refusal := s.announce(l.number, q)
	s.endPending()
	if refusal != nil {
		forward.Socket(conn).Reset()
		return
	}
	s.splice(stream, forward.Socket(conn), q)
}

func (s *server) announce(number uint32, q Question) (*forward.Stream, *forward.Refusal) {
	if _, refusal := s.ask(q); refusal != nil {
		return nil, refusal
	}
	stream, err := s.mux.Tell(s.ctx, forward.Accepted{Listener: number, From: q.From})
	if err == nil {
		return stream, nil
	}
	refusal := explain(err)
	errors.As(err, &refusal)
	s.decider.Ended(q, End{Code: refusal.Code})
	return nil, refusal
}
