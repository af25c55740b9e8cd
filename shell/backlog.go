package shell

import (
	"fmt"
	"io"
	"sync"
	"time"
)

const (
	// DefaultBacklog is how much output is kept for a client that does not
	// acknowledge, in bytes, headers of records included.
	DefaultBacklog = 4 << 20
	// RedrawTail is how much acknowledged output is kept for the screen of a
	// client that attaches later, in bytes.
	RedrawTail = 256 << 10

	maxRetired = 16 // segments
)

// Backlog is a session's output by offset, kept from the smallest offset that
// a [Holding] cursor has not acknowledged, and [RedrawTail] bytes before that.
// Memory is taken as output comes and given back as it is acknowledged: at most
// the limit, the tail, and two segments of 128 KiB.
//
// It lives on the heap in segments, not in a shared mapping: what crosses an
// upgrade of the agent is written out, and an idle session costs one page.
//
// All methods may be used concurrently. No lock is held while data is copied
// in bulk or read from the program.
type Backlog struct {
	limit int
	// narrow, unless 0, is for the time being a smaller limit of what waits for the
	// client alone.
	narrow  int
	spare   int       // room beyond narrow; see answerRoom
	pressed bool      // a writer has waited for room; see tookPressed
	widest  int       // what widen may make of limit
	acked   time.Time // when the client first acknowledged something since the program waits
	step    int       // room below this is no room: a trickle of acks is not a trickle of reads

	mu      sync.Mutex
	changed sync.Cond // room, the loan or closed changed

	segs  []*segment // oldest first; none until there is output
	first uint64     // number of segs[0]
	class int        // of the next segment
	end   uint64     // output offset after the last record
	size  uint64     // bytes of records ever

	cursors  []*Cursor
	floor    uint64 // smallest offset that is held
	floorPos uint64 // bytes of records before floor
	near     uint64 // the same for the client, where there is one
	nearPos  uint64
	client   bool // it holds something

	// The loan: free space of the last segment that Reserve gave away.
	lent     *segment
	lentType FrameType
	lentAt   int // index where the data begins

	sealed  bool // the exit is appended
	frozen  bool // nothing is lent until thaw
	closed  bool
	copying int        // cursors that copy without the lock
	retired []*segment // freed meanwhile
}

// NewBacklog returns an empty backlog. limit is in bytes, at least 64; 0 or less
// means [DefaultBacklog].
func NewBacklog(limit int) *Backlog {
	if limit <= 0 {
		limit = DefaultBacklog
	}
	limit = max(limit, 64)
	b := &Backlog{limit: limit, step: max(recordHeader+1, min(4<<10, limit/8))}
	b.changed.L = &b.mu
	return b
}

// Append adds output of type t. It blocks while a holding cursor is a full
// backlog behind, and returns io.ErrClosedPipe once the backlog is closed or
// has its exit. p is copied.
func (b *Backlog) Append(t FrameType, p []byte) error {
	for len(p) > 0 {
		room, err := b.Reserve(t)
		if err != nil {
			return err
		}
		n := copy(room, p)
		b.Commit(n)
		p = p[n:]
	}
	return nil
}

// Reserve lends free space of the backlog to read output of type t into; it is
// given back with [Backlog.Commit], always. It blocks while the backlog is full
// or its space is lent to somebody else; so whoever has it must not wait for
// anything but data that is there. It returns io.ErrClosedPipe once the
// backlog is closed or has its exit.
func (b *Backlog) Reserve(t FrameType) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for !b.sealed && !b.closed && (b.frozen || b.lent != nil || b.room() < b.step) {
		if b.room() < b.step && !b.frozen {
			b.pressed = true
			b.waitForRoom()
		} else {
			b.changed.Wait()
		}
	}
	if b.sealed || b.closed {
		return nil, io.ErrClosedPipe
	}
	g, at := b.space(t)
	b.lent, b.lentType, b.lentAt = g, t, at
	room := b.room() - (at - g.n)
	return g.buf[at:min(len(g.buf), at+room)], nil
}

// Commit gives the space of the last Reserve back with n bytes of output in it.
func (b *Backlog) Commit(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	g, t, at := b.lent, b.lentType, b.lentAt
	b.lent = nil
	b.changed.Broadcast()
	if n > 0 && !b.sealed && !b.closed {
		b.fill(g, t, at, n)
	}
}

// fill makes n bytes at an index of the last segment output of type t.
func (b *Backlog) fill(g *segment, t FrameType, at, n int) {
	before := g.n
	if at == g.n {
		_, have := g.record(g.last)
		g.setRecord(g.last, t, have+n)
	} else {
		g.setRecord(g.n, t, n)
	}
	b.grown(uint64(n), uint64(g.n-before))
}

// space returns the segment for more output of type t and the index where its
// data goes: at n when the last record goes on, else after a header.
func (b *Backlog) space(t FrameType) (g *segment, at int) {
	if len(b.segs) > 0 {
		g = b.segs[len(b.segs)-1]
		at = g.n
		if !g.continues(t) {
			at += recordHeader
		}
		// The last sixteenth is left: a read into a few bytes costs as much
		// as a large one.
		if len(g.buf)-at >= len(g.buf)/16 {
			return g, at
		}
	}
	g = newSegment(b.class)
	b.class = min(b.class+1, len(segmentSizes)-1)
	b.push(g)
	return g, recordHeader
}

func (b *Backlog) push(g *segment) {
	g.off, g.pos = b.end, b.size
	b.segs = append(b.segs, g)
}

// seal appends the exit, which may exceed the limit: it must be told even if
// nobody has room for output. Nothing follows it; what was reserved is dropped.
func (b *Backlog) seal(exit []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.sealed || b.closed {
		return
	}
	b.sealed = true
	b.changed.Broadcast()
	// A segment of its own, because the last one's space may be lent.
	g := &segment{buf: make([]byte, recordHeader+len(exit))}
	b.push(g)
	copy(g.buf[recordHeader:], exit)
	g.setRecord(0, FrameExit, len(exit))
	b.grown(1, uint64(g.n))
}

// grown accounts for a record and tells the cursors that wait for one.
func (b *Backlog) grown(width, bytes uint64) {
	b.end += width
	b.size += bytes
	holders := false
	for _, c := range b.cursors {
		holders = holders || c.kind == Holding
		if c.waiting && c.urgent() {
			c.waiting = false
			c.poke()
		}
	}
	if !holders {
		b.refloor()
	}
}

// room is how many bytes may be added; negative when the limit is exceeded.
func (b *Backlog) room() int {
	room := b.limit - int(b.size-b.floorPos)
	if b.narrow > 0 && b.client {
		room = min(room, b.narrow+b.spare-int(b.size-b.nearPos))
	}
	return room
}

// setNarrow sets a smaller limit, or none for 0, from now on.
func (b *Backlog) setNarrow(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.narrow = n
	b.changed.Broadcast()
}

// refloor finds the smallest offset that is held, frees what lies too far
// before it, and lets writers see the room.
func (b *Backlog) refloor() {
	floor, near := b.end, b.end
	b.client = false
	for _, c := range b.cursors {
		if c.kind != Holding {
			continue
		}
		floor = min(floor, c.held)
		if c.leisure == nil {
			near, b.client = min(near, c.held), true
		}
	}
	if b.client && near != b.near {
		b.near, b.nearPos, b.spare = near, b.position(near), 0
		b.changed.Broadcast()
	}
	if floor == b.floor {
		return
	}
	b.floor, b.floorPos = floor, b.position(floor)
	keep := floor - min(floor, RedrawTail)
	free := 0
	for free+1 < len(b.segs) && b.segs[free+1].off <= keep {
		free++
	}
	b.release(free)
	b.changed.Broadcast()
}

// release frees the first n segments.
func (b *Backlog) release(n int) {
	for _, g := range b.segs[:n] {
		switch {
		case g == b.lent:
			// The program's reader still writes into it: never to be reused.
		case b.copying > 0:
			// Cursors that take turns might never all be done at once; what is
			// not retired is the garbage collector's.
			if len(b.retired) < maxRetired {
				b.retired = append(b.retired, g)
			}
		default:
			g.recycle()
		}
	}
	kept := copy(b.segs, b.segs[n:])
	clear(b.segs[kept:])
	b.segs = b.segs[:kept]
	b.first += uint64(n)
}

// start is the first offset that can still be read.
func (b *Backlog) start() uint64 {
	if len(b.segs) == 0 {
		return b.end
	}
	return b.segs[0].off
}

// End is the output offset after everything appended, the exit included.
func (b *Backlog) End() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.end
}

// redraw is where a screen that starts anew begins to read.
func (b *Backlog) redraw() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return max(b.start(), b.floor-min(b.floor, RedrawTail))
}

// full says whether output waits for acknowledgements, or for a thaw.
func (b *Backlog) full() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.frozen || b.room() < b.step
}

// Close ends appending. Cursors still read what is there and then get io.EOF;
// the memory is given back with the last of them.
func (b *Backlog) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.changed.Broadcast()
	for _, c := range b.cursors {
		c.poke()
	}
	b.vacate()
}

// vacate frees everything when nobody can ask for it any more.
func (b *Backlog) vacate() {
	if b.closed && len(b.cursors) == 0 {
		b.release(len(b.segs))
	}
}

// Cursor returns a reader that starts at offset from, which must not be beyond
// the end, nor, unless the cursor is [Skipping], before what is kept.
func (b *Backlog) Cursor(kind CursorKind, from uint64) (*Cursor, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, io.ErrClosedPipe
	}
	if start := b.start(); from > b.end || from < start && kind != Skipping {
		return nil, fmt.Errorf("%w: offset %d, kept are %d to %d", ErrOutputNotKept, from, start, b.end)
	}
	c := &Cursor{b: b, kind: kind, wake: make(chan struct{}, 1), off: from, held: from, lost: true}
	b.cursors = append(b.cursors, c)
	if kind == Holding {
		b.refloor()
	}
	return c, nil
}
