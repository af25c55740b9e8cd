package tunnel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"shellagent/internal/forward"
	"shellagent/internal/socks"
	"shellagent/internal/sshargs"
)

// handshakeTime is how long a client of SOCKS may take to say where it wants to go.
const handshakeTime = time.Minute

// Local listens here, and has connections lead to the agent's host and on: -L, or -D
// if f is dynamic. It returns where it listens. With an endpoint, an error says
// where it does not although it should.
func (s *Set) Local(f sshargs.Forward) (sshargs.Endpoint, error) {
	name := Name(sshargs.Local, f)
	if f.IsDynamic() {
		name = Name(sshargs.Dynamic, f)
	}
	lines, at, err := s.listen(f.Listen)
	for _, line := range lines {
		if over := s.listens(name, line); over != nil {
			return at, over
		}
		s.running.Go(func() { s.serve(line, name, f.Connect) })
	}
	return at, err
}

// acceptPause is how long nothing is accepted after that has failed, as it does
// without descriptors.
const acceptPause = time.Second

func (s *Set) serve(line net.Listener, name string, to sshargs.Endpoint) {
	for {
		conn, err := line.Accept()
		if err == nil {
			s.running.Go(func() { s.carry(conn, name, to) })
			continue
		}
		if errors.Is(err, net.ErrClosed) || s.ctx.Err() != nil {
			return
		}
		s.cfg.Told(Event{Kind: Failed, Connection: Connection{Forward: name, Since: time.Now()}, Err: err})
		pause := time.NewTimer(acceptPause)
		select {
		case <-pause.C:
		case <-s.ctx.Done():
		}
		pause.Stop()
	}
}

// carry brings one connection to where it wants to go.
func (s *Set) carry(conn net.Conn, name string, to sshargs.Endpoint) {
	stop := context.AfterFunc(s.ctx, func() { conn.Close() })
	defer stop()
	dynamic := to == sshargs.Endpoint{}
	told := to.String()
	if dynamic {
		told = ""
	}
	c, err := s.begin(name, from(conn), told)
	if err != nil {
		_ = forward.Socket(conn).Reset()
		return
	}
	if dynamic {
		s.carryDynamic(c, conn)
		return
	}
	stream, err := s.link.Open(s.ctx, to)
	if err != nil {
		conn.Close()
		s.failed(c, err)
		return
	}
	s.splice(c, forward.Socket(conn), stream)
}

func (s *Set) carryDynamic(c *Connection, conn net.Conn) {
	request, err := handshake(conn)
	if err != nil {
		conn.Close()
		s.failed(c, err)
		return
	}
	to := sshargs.Endpoint{Host: request.Host, Port: request.Port}
	s.leads(c, to)
	stream, err := s.link.Open(s.ctx, to)
	if err != nil {
		_ = request.Refuse(conn, causeOf(err))
		conn.Close()
		s.failed(c, err)
		return
	}
	if err := request.Grant(conn); err != nil {
		stream.Reset()
		conn.Close()
		s.failed(c, err)
		return
	}
	s.splice(c, forward.Socket(conn), stream)
}

// dialogue is a side that speaks SOCKS: a socket here, or a stream from there.
type dialogue interface {
	Read([]byte) (int, error)
	Write([]byte) (int, error)
	SetDeadline(time.Time) error
}

func handshake(client dialogue) (socks.Request, error) {
	_ = client.SetDeadline(time.Now().Add(handshakeTime))
	request, err := socks.Accept(client)
	if err != nil {
		return request, fmt.Errorf("what came in does not say where to: %w", err)
	}
	return request, client.SetDeadline(time.Time{})
}

// causeOf says to a client of SOCKS what the agent says.
func causeOf(err error) socks.Cause {
	var refusal *forward.Refusal
	if !errors.As(err, &refusal) {
		return socks.Failed
	}
	switch refusal.Code {
	case forward.CodeDenied:
		return socks.Denied
	case forward.CodeRefused:
		return socks.Refused
	case forward.CodeUnreachable:
		return socks.NetworkUnreachable
	case forward.CodeNotFound:
		return socks.HostUnreachable
	case forward.CodeTimeout:
		return socks.TimedOut
	}
	return socks.Failed
}

// from names the other end of what came in. One of a Unix socket has no name.
func from(conn net.Conn) string {
	if a := conn.RemoteAddr(); a != nil && a.Network() != "unix" {
		return a.String()
	}
	return ""
}
