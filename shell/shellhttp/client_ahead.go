package shellhttp

import (
	"io"
	"sync"

	"shellagent/shell"
)

// maxAhead bounds what is read ahead, in bytes: more than the agent sends
// without an acknowledgement, so that the connection never stands still.
const maxAhead = 17 << 20

// frameCost is what a frame in memory takes besides its data.
const frameCost = 64

// readAhead reads a stream into memory for a caller that takes its time.
// Frames come out as they came in, but output of small frames is joined.
type readAhead struct {
	done chan struct{} // closed when nothing reads any more

	mu      sync.Mutex
	changed sync.Cond
	queue   []shell.Frame
	bytes   int
	err     error // after the queue
	closed  bool
}

func newReadAhead() *readAhead {
	a := &readAhead{done: make(chan struct{})}
	a.changed.L = &a.mu
	return a
}

// run reads s until it ends.
func (a *readAhead) run(s *stream) {
	defer close(a.done)
	s.frames.leave() // the caller still has the last one
	for {
		f, err := s.faithful()
		if !a.push(f, err) {
			return
		}
		if f.Type == shell.FrameExit {
			a.push(shell.Frame{}, io.EOF)
			return
		}
	}
}

// push adds a frame, or the end. It waits for room and returns false when
// nothing more is wanted.
func (a *readAhead) push(f shell.Frame, err error) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	defer a.changed.Broadcast()
	if err != nil {
		a.err = err
		return false
	}
	for a.bytes > maxAhead && !a.closed {
		a.changed.Wait()
	}
	if n := len(a.queue); n > 0 && isOutput(f.Type) && a.queue[n-1].Type == f.Type &&
		len(a.queue[n-1].Data)+len(f.Data) <= maxEventData {
		last := &a.queue[n-1]
		last.Data, last.End = append(last.Data, f.Data...), f.End
		a.bytes += len(f.Data)
	} else {
		f.Data = append([]byte(nil), f.Data...)
		a.queue = append(a.queue, f)
		a.bytes += len(f.Data) + frameCost
	}
	return !a.closed
}

// pop returns the next frame, and the end after the last.
func (a *readAhead) pop() (shell.Frame, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.queue) == 0 && a.err == nil {
		a.changed.Wait()
	}
	if len(a.queue) == 0 {
		return shell.Frame{}, a.err
	}
	f := a.queue[0]
	a.queue[0] = shell.Frame{}
	a.queue = a.queue[1:]
	if len(a.queue) == 0 {
		a.queue, a.bytes = nil, 0
	} else {
		a.bytes -= len(f.Data) + frameCost
	}
	a.changed.Broadcast()
	return f, nil
}

// close ends the reading, whose source must have been closed, and waits for it.
func (a *readAhead) close() {
	a.mu.Lock()
	a.closed = true
	a.changed.Broadcast()
	a.mu.Unlock()
	<-a.done
}
