package shell

import (
	"io"
	"slices"
	"sync"
	"time"
)

// maxTapped is how many bytes of side events wait for a tap that is slow.
const maxTapped = 1 << 20

// TapOptions say what a [Tap] is given, and what happens when it is slow.
type TapOptions struct {
	// Hold keeps all output for the tap: the program waits for it as for a slow
	// client. Without, a slow tap is given a gap.
	Hold bool `json:"hold"`
	// Input asks for what is typed, but for what a terminal does not show.
	Input bool `json:"input"`
	// From is the output offset at which it begins.
	From uint64 `json:"from"`
}

// Tap reads all of a session in order, output, sizes and, if asked for, input:
// for whoever keeps what was shown. It is no client; the session's end does not
// wait for it, and what the session has shown stays readable until Close. Next
// is for one goroutine; Close may be called from any.
type Tap struct {
	options TapOptions
	cursor  *Cursor
	began   time.Time

	mu     sync.Mutex
	side   []TapEvent // from first on
	first  int
	bytes  int
	lost   bool          // a side event had no room, and the one before it says so
	room   chan struct{} // closed when there is some; nil when nobody waits
	done   chan struct{} // closed by Close
	closed bool
}

// TapKind says what a [TapEvent] is.
type TapKind uint8

// The kinds.
const (
	TapOutput TapKind = iota + 1 // Frame
	TapGap                       // output up to Frame.End is not kept any more
	TapExit                      // Frame.Data; nothing follows
	TapResize                    // Size
	TapInput                     // Data, which the terminal showed itself, or which needs no showing
	TapTyped                     // Data, which is shown if the program shows it
	TapLost                      // side events that had no room
)

// TapEvent is one thing that happened.
type TapEvent struct {
	Kind TapKind
	// At is how long after the session's start.
	At time.Duration
	// Frame is output; its data is good until the next call.
	Frame Frame
	Data  []byte
	Size  Winsize

	offset uint64 // of the output that it follows
}

func newTap(b *Backlog, o TapOptions, began time.Time) (*Tap, error) {
	c, err := b.Cursor(o.kind(), o.From)
	if err != nil {
		return nil, err
	}
	c.takeTime()
	return &Tap{options: o, cursor: c, began: began, done: make(chan struct{})}, nil
}

func (o TapOptions) kind() CursorKind {
	if o.Hold {
		return Holding
	}
	return Skipping
}

// Tap returns the session's tap, or nil when none was configured.
func (s *Session) Tap() *Tap { return s.tap }

// Take returns the next event, and false when there is none yet: [Tap.Wake]
// tells when there may be. Output is copied into buf. It ends with io.EOF after
// the exit, and with io.ErrClosedPipe when the tap was closed.
func (t *Tap) Take(buf []byte) (e TapEvent, ok bool, err error) {
	at := t.cursor.position()
	limit := len(buf)
	t.mu.Lock()
	if t.first < len(t.side) {
		e := t.side[t.first]
		if e.offset <= at {
			t.pop()
			t.mu.Unlock()
			return e, true, nil
		}
		limit = int(min(uint64(limit), e.offset-at))
	}
	t.mu.Unlock()
	f, ok, err := t.cursor.take(buf[:limit])
	if !ok || err != nil {
		return TapEvent{}, false, err
	}
	if t.options.Hold {
		_ = t.cursor.Ack(f.End) // it was copied
	}
	e = TapEvent{Kind: TapOutput, At: time.Since(t.began), Frame: f}
	switch f.Type {
	case FrameGap:
		e.Kind = TapGap
	case FrameExit:
		e.Kind = TapExit
	}
	return e, true, nil
}

// Wake is sent to when Take may have something after it had nothing: side events
// and the exit at once, output within 20 ms.
func (t *Tap) Wake() <-chan struct{} { return t.cursor.wake }

// pop forgets the first side event; the lock is held.
func (t *Tap) pop() {
	t.bytes -= len(t.side[t.first].Data)
	t.side[t.first] = TapEvent{}
	switch t.first++; {
	case t.first == len(t.side):
		t.side, t.first, t.lost = t.side[:0], 0, false
		if cap(t.side) > 64 {
			t.side = nil
		}
	case t.first > len(t.side)/2:
		n := copy(t.side, t.side[t.first:])
		clear(t.side[n:])
		t.side, t.first = t.side[:n], 0
	}
	if t.room != nil {
		close(t.room)
		t.room = nil
	}
}

// Input says whether it is told what is typed.
func (t *Tap) Input() bool { return t.options.Input }

// Offset is the output offset up to which it has read.
func (t *Tap) Offset() uint64 { return t.cursor.position() }

// Close ends the tap: nothing is held for it any more.
func (t *Tap) Close() {
	t.mu.Lock()
	if !t.closed {
		t.closed = true
		close(t.done)
	}
	t.side, t.first, t.bytes = nil, 0, 0
	t.mu.Unlock()
	t.cursor.Close()
}

// state is how another image of the agent goes on with it; nil for a tap that
// ended.
func (t *Tap) state() *TapOptions {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil
	}
	o := t.options
	o.From = t.cursor.position()
	return &o
}

// add queues a side event that follows the output at an offset. A tap that holds
// is waited for when the queue is full, until the session is hung up.
func (t *Tap) add(e TapEvent, hung <-chan struct{}) {
	e.At = time.Since(t.began)
	for {
		t.mu.Lock()
		if t.closed || t.place(e) || !t.options.Hold {
			t.mu.Unlock()
			t.cursor.poke()
			return
		}
		if t.room == nil {
			t.room = make(chan struct{})
		}
		room := t.room
		t.mu.Unlock()
		select {
		case <-room:
		case <-t.done:
			return
		case <-hung:
			return
		}
	}
}

// place queues an event if there is room for it; the lock is held.
func (t *Tap) place(e TapEvent) bool {
	const each = 64 // what an event costs besides its data
	if t.bytes+(len(t.side)-t.first)*each+len(e.Data) <= maxTapped {
		t.side, t.bytes, t.lost = append(t.side, e), t.bytes+len(e.Data), false
		return true
	}
	if !t.options.Hold && !t.lost {
		t.side, t.lost = append(t.side, TapEvent{Kind: TapLost, At: e.At, offset: e.offset}), true
	}
	return false
}

// resized tells the tap a new size.
func (t *Tap) resized(size Winsize, hung <-chan struct{}) {
	if t != nil {
		t.add(TapEvent{Kind: TapResize, Size: size, offset: t.cursor.b.End()}, hung)
	}
}

// wants says whether input is to be told.
func (t *Tap) wants() bool { return t != nil && t.options.Input }

// tappedPiece is the most input that is written at once when it is recorded, so
// that what becomes of it is asked for every line.
const tappedPiece = 1 << 10

// tappedWriter tells a tap what it writes to the program, as far as the terminal
// shows it. What is shown is decided by the terminal when a byte arrives there:
// so it is asked right before and right after, and both have to say so.
type tappedWriter struct {
	session *Session
	to      io.Writer
}

func (w tappedWriter) Write(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var m int
		end := len(p)
		if w.session.terminal() {
			end = n + lineOf(p[n:])
		}
		m, err = w.piece(p[n:end])
		n += m
	}
	return n, err
}

func (w tappedWriter) piece(p []byte) (n int, err error) {
	s, t := w.session, w.session.tap
	before := s.echo()
	at := t.cursor.b.End()
	if before == EchoByProgram {
		// Before it is written, since the program may show it at once.
		t.add(TapEvent{Kind: TapTyped, Data: slices.Clone(p), offset: at}, s.hung)
	}
	n, err = w.to.Write(p)
	if before == EchoByTerminal && s.echo() == EchoByTerminal && n > 0 {
		t.add(TapEvent{Kind: TapInput, Data: slices.Clone(p[:n]), offset: at}, s.hung)
	}
	return n, err
}

// lineOf is the length of the first line of p, or of its first piece.
func lineOf(p []byte) int {
	p = p[:min(len(p), tappedPiece)]
	if i := slices.IndexFunc(p, func(c byte) bool { return c == '\n' || c == '\r' }); i >= 0 {
		return i + 1
	}
	return len(p)
}

// echo says what becomes of input now. Pipes show nothing and hide nothing.
func (s *Session) echo() Echo {
	if !s.terminal() {
		return EchoByTerminal
	}
	if e, ok := s.program.(Echoer); ok {
		return e.Echo()
	}
	return EchoNone
}
