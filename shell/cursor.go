package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
)

// ErrOutputNotKept says that output at an offset was acknowledged and freed, or
// is not there yet.
var ErrOutputNotKept = errors.New("output at this offset is not kept")

// CursorKind says what happens when a reader is slow.
type CursorKind uint8

const (
	// Holding keeps everything from what the cursor acknowledged on: the
	// program waits when that is a full backlog.
	Holding CursorKind = iota + 1
	// Skipping keeps nothing: a slow cursor gets a [FrameGap] and goes on with
	// recent output. It never slows anybody.
	Skipping
	// following keeps nothing and fails when output was freed before it was
	// read. A session holds for its client, so that a connection need not.
	following
)

// Cursor reads a [Backlog] from an offset on. Next is for one goroutine at a
// time; Ack and Close may be called from any.
type Cursor struct {
	b    *Backlog
	kind CursorKind
	wake chan struct{}

	// Under the backlog's lock.
	off     uint64 // next to be read
	at      place  // of off, unless lost
	lost    bool
	held    uint64
	waiting bool
	closed  bool
	leisure *leisure // nil wakes at once

	parts [8][]byte // what take copies; nobody's between calls
}

// Next returns the next frame: output of one type with at most len(buf) bytes
// of data, the exit, or a gap. It copies the data into buf, so that a caller
// who leaves [FrameHeaderSize] bytes before buf can send both at once. It
// blocks until there is a frame, and ends with io.EOF after the exit or when
// the backlog was closed, with io.ErrClosedPipe when the cursor was, and with
// the context's error.
func (c *Cursor) Next(ctx context.Context, buf []byte) (Frame, error) {
	for {
		f, ok, err := c.take(buf)
		if ok || err != nil {
			return f, err
		}
		select {
		case <-c.wake:
		case <-ctx.Done():
			return Frame{}, ctx.Err()
		}
	}
}

// smallCopy is the most that is copied under the lock, because taking it twice
// would cost more.
const smallCopy = 4 << 10

// take is Next without waiting. When it returns neither a frame nor an error,
// wake will be poked.
func (c *Cursor) take(buf []byte) (f Frame, ok bool, err error) {
	b := c.b
	b.mu.Lock()
	if f, ok, err = c.extraordinary(); ok || err != nil {
		b.mu.Unlock()
		return f, ok, err
	}
	if c.off == b.end {
		c.waiting = !b.sealed && !b.closed
		c.leisure.rest()
		if !c.waiting {
			err = io.EOF
		}
		b.mu.Unlock()
		return Frame{}, false, err
	}
	t, n, parts := c.gather(min(len(buf), MaxFrameData))
	if n == 0 {
		b.mu.Unlock()
		return Frame{}, false, io.ErrShortBuffer
	}
	c.off += t.Width(n)
	f = Frame{Type: t, End: c.off}
	if n > len(buf) {
		buf = make([]byte, n) // only an exit is never cut to fit
	}
	f.Data = buf[:n]
	if n <= smallCopy {
		fill(buf, parts)
		b.mu.Unlock()
		return f, true, nil
	}
	b.copying++
	b.mu.Unlock()
	fill(buf, parts)
	b.mu.Lock()
	if b.copying--; b.copying == 0 {
		for _, g := range b.retired {
			g.recycle()
		}
		clear(b.retired)
		b.retired = b.retired[:0]
	}
	b.mu.Unlock()
	return f, true, nil
}

// extraordinary handles a cursor that was closed or overtaken.
func (c *Cursor) extraordinary() (Frame, bool, error) {
	b := c.b
	if c.closed {
		return Frame{}, false, io.ErrClosedPipe
	}
	if c.off >= b.start() {
		return Frame{}, false, nil
	}
	if c.kind != Skipping {
		return Frame{}, false, ErrOutputNotKept
	}
	// Half of the tail: old enough to understand what comes, new enough not to
	// be overtaken again at once.
	c.off = max(b.start(), b.end-min(b.end, RedrawTail/2))
	c.lost = true
	return Frame{Type: FrameGap, End: c.off}, true, nil
}

// gather finds up to limit bytes of one type and moves the place past them. An
// exit is always whole.
func (c *Cursor) gather(limit int) (t FrameType, n int, parts [][]byte) {
	b := c.b
	if c.lost || c.at.seq < b.first {
		c.at, c.lost = b.find(c.off), false
	}
	parts = c.parts[:0]
	for len(parts) < cap(parts) {
		g, rt, size, ok := b.seek(&c.at)
		if !ok || t != 0 && rt != t {
			break
		}
		t = rt
		data := g.buf[c.at.at+recordHeader:][:size]
		if t == FrameExit {
			c.at.in = 1
			return t, size, append(parts, data)
		}
		data = data[c.at.in:]
		data = data[:min(len(data), limit-n)]
		if len(data) == 0 {
			break
		}
		c.at.in += uint64(len(data))
		n += len(data)
		parts = append(parts, data)
	}
	return t, n, parts
}

func fill(buf []byte, parts [][]byte) {
	for i, p := range parts {
		buf = buf[copy(buf, p):]
		parts[i] = nil
	}
}

// poke wakes Next, now or when it next waits.
func (c *Cursor) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Ack says that a [Holding] cursor needs nothing before offset any more. An
// offset at or before an earlier one changes nothing; one beyond the end is
// refused with [ErrOutputNotKept].
func (c *Cursor) Ack(offset uint64) error {
	_, _, err := c.ack(offset)
	return err
}

// ack is Ack; it says whether that was news, and whether everything up to and
// with the exit is acknowledged.
func (c *Cursor) ack(offset uint64) (news, all bool, err error) {
	b := c.b
	b.mu.Lock()
	defer b.mu.Unlock()
	if offset > b.end {
		return false, false, fmt.Errorf("%w: offset %d acknowledged, the end is %d", ErrOutputNotKept, offset, b.end)
	}
	if offset > c.held && !c.closed {
		news = true
		c.held = offset
		b.ackedBy(c)
		if c.kind == Holding {
			b.refloor()
		}
	}
	return news, b.sealed && c.held == b.end, nil
}

// position is the offset of the next frame.
func (c *Cursor) position() uint64 {
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	return c.off
}

// Close ends the cursor: what it held may be freed, and Next returns. Closing
// twice does nothing.
func (c *Cursor) Close() {
	b := c.b
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.closed {
		return
	}
	c.closed = true
	c.leisure.end()
	c.poke()
	if i := slices.Index(b.cursors, c); i >= 0 {
		b.cursors = slices.Delete(b.cursors, i, i+1)
	}
	if c.kind == Holding && !b.closed {
		b.refloor()
	}
	b.vacate()
}
