package shell

import (
	"io"
	"sync"
	"time"
)

// movable is a program that outlives the image of the agent it was started by:
// sessions of several images may use it one after the other. It reads only what
// a test lets it read.
type movable struct {
	mu        sync.Mutex
	changed   sync.Cond
	output    []byte
	outputEnd bool
	taken     []byte // of its input
	room      int    // how much of its input it takes now
	inputEnd  int
	suspended bool
	ended     *Exit
	hangUps   int
	closed    bool
}

func newMovable() *movable {
	p := &movable{}
	p.changed.L = &p.mu
	return p
}

var _ Suspender = (*movable)(nil)

// do changes the program.
func (p *movable) do(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	p.changed.Broadcast()
}

// until waits for a condition.
func (p *movable) until(ok func() bool) {
	for !ok() {
		p.changed.Wait()
	}
}

func (p *movable) Suspend()   { p.do(func() { p.suspended = true }) }
func (p *movable) Unsuspend() { p.do(func() { p.suspended = false }) }

func (p *movable) Stdin() io.WriteCloser { return movableInput{p} }

func (p *movable) Output(t FrameType) io.Reader {
	if t == FrameStdout {
		return movableOutput{p}
	}
	return nil
}

func (p *movable) Resize(Winsize) error { return nil }
func (p *movable) Signal(string) error  { return nil }

func (p *movable) Wait() Exit {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.until(func() bool { return p.ended != nil })
	return *p.ended
}

func (p *movable) HangUp(time.Duration) {
	p.do(func() { p.hangUps++; p.ended, p.outputEnd = &Exit{Code: 129, Signal: "HUP"}, true })
}

func (p *movable) Close() { p.do(func() { p.closed, p.outputEnd = true, true }) }

type movableInput struct{ *movable }

func (w movableInput) Write(b []byte) (n int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for n < len(b) {
		w.until(func() bool { return w.room > 0 || w.suspended || w.closed })
		switch {
		case w.suspended:
			return n, ErrSuspended
		case w.closed:
			return n, io.ErrClosedPipe
		}
		m := min(w.room, len(b)-n)
		w.taken = append(w.taken, b[n:n+m]...)
		w.room, n = w.room-m, n+m
		w.changed.Broadcast()
	}
	return n, nil
}

func (w movableInput) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.suspended {
		return ErrSuspended
	}
	w.inputEnd++
	w.changed.Broadcast()
	return nil
}

type movableOutput struct{ *movable }

func (r movableOutput) WaitReadable() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.until(func() bool { return len(r.output) > 0 || r.outputEnd })
	return nil
}

func (r movableOutput) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := copy(p, r.output)
	r.output = r.output[n:]
	if n == 0 && r.outputEnd {
		return 0, io.EOF
	}
	return n, nil
}
