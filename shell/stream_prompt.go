package shell

import (
	"bytes"
	"sync"
)

// maxEcho is the most output, in bytes, that is given by whoever read it: what a
// key shows is less.
const maxEcho = 256

// streamPrompt lets the goroutine that read a little output give it to the client
// by itself, while the stream's own has nothing to do: an echo is then handed to
// nobody, and wakes no thread.
type streamPrompt struct {
	write func(frame []byte) bool // nil where that is not possible
	buf   []byte

	// turn is held by the stream's goroutine from its first Next on, but while it
	// waits for output; whoever else gives something tries for it, and never waits.
	turn  sync.Mutex
	begun bool
}

// Prompt sets what writes a whole frame of the binary encoding to the client without
// waiting, or says that it did not. It is called before Next, or never; what Next
// returned has to be written before Next is called again.
func (st *Stream) Prompt(write func(frame []byte) bool) {
	st.prompt.write, st.prompt.buf = write, make([]byte, FrameHeaderSize+maxEcho)
}

// begin has the stream's goroutine hold its turn.
func (st *Stream) begin() {
	if st.prompt.begun {
		return
	}
	st.prompt.begun = true
	st.prompt.turn.Lock()
	if st.prompt.write != nil {
		st.session.prompt.Store(st)
	}
}

// commit is [Backlog.Commit] of n bytes that were read. It gives them to the client
// at once if they are few and its stream waits for them.
func (s *Session) commit(n int) {
	st := s.prompt.Load()
	if st == nil || n == 0 || n > maxEcho || !st.prompt.turn.TryLock() {
		s.backlog.Commit(n)
		return
	}
	defer st.prompt.turn.Unlock()
	st.cursor.claim()
	s.backlog.Commit(n)
	if !st.give() {
		st.cursor.poke()
	}
}

// give gives what is there, and says whether there is nothing left to be done.
func (st *Stream) give() bool {
	if st.due.Load() != 0 || st.exit != nil || st.Unfinished() || st.covered.Load() || st.gather != nil && !st.gather.until.IsZero() {
		return false
	}
	f, ok, err := st.cursor.take(st.prompt.buf[FrameHeaderSize:])
	if !ok || err != nil {
		return false
	}
	if f.Type == FrameExit {
		f.Data = bytes.Clone(f.Data)
		st.exit = &f
		return false
	}
	AppendFrameHeader(st.prompt.buf[:0], f.Type, len(f.Data), f.End)
	if !st.prompt.write(st.prompt.buf[:FrameHeaderSize+len(f.Data)]) {
		st.cursor.untake(f)
		return false
	}
	st.given(f)
	return st.cursor.rests()
}

// given notes that output has gone.
func (st *Stream) given(f Frame) {
	if st.gather != nil && !st.holds() {
		st.gather.gave(len(f.Data))
	}
	if st.window != nil {
		st.window.gave(f.End)
	}
	st.session.handed(f)
}

// claim has nobody wake the cursor's goroutine for output: the caller sees to it.
func (c *Cursor) claim() {
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	c.waiting = false
}

// untake undoes a take of output.
func (c *Cursor) untake(f Frame) {
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	c.off, c.lost = f.End-f.Type.Width(len(f.Data)), true
}

// rests undoes claim, and says whether nothing is there to be read.
func (c *Cursor) rests() bool {
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	if c.closed || c.off != c.b.end || c.b.sealed || c.b.closed {
		return false
	}
	c.waiting = true
	c.leisure.rest()
	return true
}
