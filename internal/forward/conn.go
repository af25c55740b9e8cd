package forward

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// pipeConn is a connection without addresses and deadlines as the multiplexer wants one.
type pipeConn struct{ io.ReadWriteCloser }

var _ net.Conn = pipeConn{}

type noAddr struct{}

func (noAddr) Network() string { return "session" }
func (noAddr) String() string  { return "session" }

func (pipeConn) LocalAddr() net.Addr              { return noAddr{} }
func (pipeConn) RemoteAddr() net.Addr             { return noAddr{} }
func (pipeConn) SetDeadline(time.Time) error      { return nil }
func (pipeConn) SetReadDeadline(time.Time) error  { return nil }
func (pipeConn) SetWriteDeadline(time.Time) error { return nil }

// budget is what the windows of one multiplexer may grow by together.
type budget struct {
	mu   sync.Mutex
	left int
}

var errBudget = errors.New("the windows of all streams have grown as far as they may")

// span is one stream's part of a budget. The window that every stream has from
// the start is not of it: the number of streams bounds those.
type span struct {
	of   *budget
	held int
	done bool
}

// startPriority is the priority that the multiplexer gives a stream's first window.
const startPriority = 255

// ReserveMemory lets a window grow while there is room.
func (s *span) ReserveMemory(size int, priority uint8) error {
	if priority == startPriority {
		return nil
	}
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	if s.done || size > s.of.left {
		return errBudget
	}
	s.of.left -= size
	s.held += size
	return nil
}

// ReleaseMemory gives back a part.
func (s *span) ReleaseMemory(size int) {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	size = min(size, s.held)
	s.of.left += size
	s.held -= size
}

// Done gives back what is left. It may be called more than once.
func (s *span) Done() {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	s.of.left += s.held
	s.held, s.done = 0, true
}
