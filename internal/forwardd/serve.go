package forwardd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"shellagent/internal/forward"
)

const (
	// maxListeners bounds what one session listens on.
	maxListeners = 256
	// maxPending bounds the connections that are being opened, or were accepted
	// and not yet taken by the client.
	maxPending = 1024
	// askTimeout is how long the agent may take to decide.
	askTimeout = 30 * time.Second
)

// server is one session of forwards.
type server struct {
	mux     *forward.Mux
	decider Decider
	ctx     context.Context // done when the session is over
	wait    sync.WaitGroup

	mu        sync.Mutex
	streams   int
	pending   int
	listeners map[uint32]bool
	last      uint32 // number of a listener
}

// Serve does what the client at the other end of conn asks for and d allows, until
// conn ends or ctx is done. It returns when everything that it opened is closed. It
// is to run with umask 0177: sockets are made with the mode that this leaves.
func Serve(ctx context.Context, conn io.ReadWriteCloser, d Decider) error {
	mux, err := forward.NewServer(conn)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &server{mux: mux, decider: d, ctx: ctx, listeners: make(map[uint32]bool)}
	stop := context.AfterFunc(ctx, func() { mux.Close() })
	defer stop()
	for {
		stream, err := mux.Accept()
		if err != nil {
			break
		}
		if !s.enter() {
			s.wait.Go(func() { s.turnAway(stream) })
			continue
		}
		s.wait.Go(func() {
			defer s.leave()
			s.serve(stream)
		})
	}
	cancel()
	mux.Close()
	s.wait.Wait()
	return nil
}

// enter takes one of the streams that there may be.
func (s *server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.streams >= forward.MaxStreams {
		return false
	}
	s.streams++
	return true
}

func (s *server) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.streams--
}

// turnAway says why. The request is not read: the answer does not depend on it.
func (s *server) turnAway(stream *forward.Stream) {
	no(stream, s.never(Question{}, &forward.Refusal{Code: forward.CodeLimit, Detail: fmt.Sprintf("this session has %d connections, and no more are taken", forward.MaxStreams)}))
}

// serve answers one stream and does what it asks for until that is over.
func (s *server) serve(stream *forward.Stream) {
	request, err := forward.ReadRequest(stream)
	var refusal *forward.Refusal
	switch {
	case errors.As(err, &refusal):
		no(stream, s.never(Question{}, refusal))
	case err != nil:
		stream.Reset()
	case request.Open != "":
		s.open(stream, request)
	default:
		s.listen(stream, request)
	}
}

// no answers with the refusal and ends the stream.
func no(stream *forward.Stream, r *forward.Refusal) {
	if err := forward.WriteAnswer(stream, forward.No(r.Code, r.Detail)); err != nil {
		stream.Reset()
		return
	}
	stream.Close()
}

// ask asks the decider, within its time.
func (s *server) ask(q Question) (Permit, *forward.Refusal) {
	ctx, cancel := context.WithTimeout(s.ctx, askTimeout)
	defer cancel()
	permit, err := s.decider.Ask(ctx, q)
	var refusal *forward.Refusal
	switch {
	case err == nil:
		return permit, nil
	case errors.As(err, &refusal):
		return permit, refusal
	}
	return permit, &forward.Refusal{Code: forward.CodeFailed, Detail: "the agent did not decide: " + err.Error()}
}

// never tells of what was refused before it was asked for.
func (s *server) never(q Question, r *forward.Refusal) *forward.Refusal {
	s.decider.Ended(q, End{Code: r.Code, Never: true})
	return r
}

// beginPending bounds what is being opened.
func (s *server) beginPending() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pending >= maxPending {
		return false
	}
	s.pending++
	return true
}

func (s *server) endPending() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending--
}

// splice copies between the stream and the socket until both have ended, and tells of it.
func (s *server) splice(stream *forward.Stream, socket forward.Conn, q Question) {
	began := time.Now()
	from, to, err := forward.Splice(stream, socket)
	s.decider.Ended(q, End{FromClient: from, ToClient: to, Seconds: time.Since(began).Seconds(), Broken: err != nil})
}
