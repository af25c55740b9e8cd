package shell

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
)

func mustCursor(t *testing.T, b *Backlog, kind CursorKind, from uint64) *Cursor {
	t.Helper()
	c, err := b.Cursor(kind, from)
	if err != nil {
		t.Fatalf("Cursor(%d, %d): %v", kind, from, err)
	}
	return c
}

// wantFrame takes the next frame, which must be there.
func wantFrame(t *testing.T, c *Cursor, buf []byte, typ FrameType, end uint64, data string) {
	t.Helper()
	f, ok, err := c.take(buf)
	if !ok || err != nil {
		t.Fatalf("no frame (%v), want %v to %d", err, typ, end)
	}
	if f.Type != typ || f.End != end || string(f.Data) != data {
		t.Fatalf("got %v to %d %.40q, want %v to %d %.40q", f.Type, f.End, f.Data, typ, end, data)
	}
}

func wantAppend(t *testing.T, b *Backlog, typ FrameType, data string) {
	t.Helper()
	if err := b.Append(typ, []byte(data)); err != nil {
		t.Fatalf("Append: %v", err)
	}
}

func TestBacklogTagsAndCoalesces(t *testing.T) {
	b := NewBacklog(0)
	c := mustCursor(t, b, Holding, 0)
	for _, p := range []string{"a", "b", "c"} {
		wantAppend(t, b, FrameStdout, p)
	}
	wantAppend(t, b, FrameStderr, "oops")
	wantAppend(t, b, FrameStdout, "d")
	buf := make([]byte, 64)
	wantFrame(t, c, buf, FrameStdout, 3, "abc")
	wantFrame(t, c, buf[:2], FrameStderr, 5, "oo")
	wantFrame(t, c, buf, FrameStderr, 7, "ps")
	wantFrame(t, c, buf, FrameStdout, 8, "d")
	// A record that was read to its end may still grow.
	wantAppend(t, b, FrameStdout, "e")
	wantFrame(t, c, buf, FrameStdout, 9, "e")
	if want := uint64(3*recordHeader + 9); b.size != want {
		t.Errorf("%d bytes of records, want %d: writes of one type share a record", b.size, want)
	}
}

func TestBacklogExitIsOneOffsetAndTheLast(t *testing.T) {
	b := NewBacklog(0)
	c := mustCursor(t, b, Holding, 0)
	wantAppend(t, b, FrameStdout, "x")
	b.seal([]byte(`{"code":7}`))
	b.seal([]byte(`{"code":8}`))
	wantFrame(t, c, make([]byte, 4), FrameStdout, 1, "x")
	wantFrame(t, c, make([]byte, 4), FrameExit, 2, `{"code":7}`) // whole, whatever the buffer
	if _, err := c.Next(context.Background(), make([]byte, 4)); err != io.EOF {
		t.Errorf("after the exit: %v, want io.EOF", err)
	}
	if err := b.Append(FrameStdout, []byte("late")); err != io.ErrClosedPipe {
		t.Errorf("append after the exit: %v, want io.ErrClosedPipe", err)
	}
	again := mustCursor(t, b, Holding, 1)
	wantFrame(t, again, make([]byte, 64), FrameExit, 2, `{"code":7}`)
	none := mustCursor(t, b, Holding, 2)
	if _, err := none.Next(context.Background(), nil); err != io.EOF {
		t.Errorf("from the end: %v, want io.EOF", err)
	}
}

func TestBacklogFullWaitsForTheAck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 1000
		b := NewBacklog(limit)
		c := mustCursor(t, b, Holding, 0)
		done := make(chan error)
		go func() { done <- b.Append(FrameStdout, make([]byte, 3*limit)) }()
		synctest.Wait()
		if end := b.End(); end+recordHeader > limit || end < limit/2 {
			t.Fatalf("%d bytes were taken, the limit is %d with headers", end, limit)
		}
		buf := make([]byte, 10*limit)
		got := 0
		for got < 3*limit {
			f, err := c.Next(context.Background(), buf)
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if b.End() != f.End {
				t.Fatalf("reading alone made room: %d, read %d", b.End(), f.End)
			}
			got += len(f.Data)
			if err := c.Ack(f.End); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}

func TestBacklogHeadersCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBacklog(100)
		mustCursor(t, b, Holding, 0)
		go func() {
			for b.Append(FrameStdout, []byte("o")) == nil && b.Append(FrameStderr, []byte("e")) == nil {
			}
		}()
		synctest.Wait()
		if b.End() > 100/(recordHeader+1) || b.size > 100 {
			t.Errorf("%d bytes of output in %d of records, the limit is 100", b.End(), b.size)
		}
		b.Close()
	})
}

func TestBacklogTellsTheExitWhenFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBacklog(100)
		c := mustCursor(t, b, Holding, 0)
		done := make(chan error)
		go func() { done <- b.Append(FrameStdout, make([]byte, 500)) }()
		synctest.Wait()
		b.seal([]byte("{}"))
		if err := <-done; err != io.ErrClosedPipe {
			t.Errorf("a blocked Append returned %v", err)
		}
		end := b.End() - 1
		wantFrame(t, c, make([]byte, 500), FrameStdout, end, string(make([]byte, end)))
		wantFrame(t, c, make([]byte, 500), FrameExit, end+1, "{}")
	})
}

func TestBacklogCloseWakesEverybody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBacklog(64)
		c := mustCursor(t, b, Holding, 0)
		wantAppend(t, b, FrameStdout, "x")
		errs := make(chan error, 3)
		go func() { errs <- b.Append(FrameStdout, make([]byte, 100)) }()
		reader := mustCursor(t, b, Skipping, 1)
		gone := mustCursor(t, b, Skipping, b.End())
		next := func(c *Cursor) {
			var err error
			for err == nil {
				_, err = c.Next(context.Background(), make([]byte, 256))
			}
			errs <- err
		}
		go next(reader)
		go next(gone)
		synctest.Wait()
		gone.Close()
		gone.Close()
		if err := <-errs; err != io.ErrClosedPipe {
			t.Errorf("closed cursor: %v", err)
		}
		b.Close()
		for _, err := range []error{<-errs, <-errs} {
			if err != io.EOF && err != io.ErrClosedPipe {
				t.Errorf("after Close: %v", err)
			}
		}
		// What is there is still read by who was there.
		if f, ok, _ := c.take(make([]byte, 8)); !ok || f.Data[0] != 'x' {
			t.Error("a cursor lost what was there when the backlog was closed")
		}
		if _, err := b.Cursor(Holding, 0); err == nil {
			t.Error("a closed backlog gave a cursor")
		}
		reader.Close()
		c.Close()
		if b.segs = b.segs[:len(b.segs):len(b.segs)]; len(b.segs) != 0 {
			t.Error("memory is kept after the last cursor")
		}
	})
}

func TestBacklogReserveIsExclusive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBacklog(0)
		c := mustCursor(t, b, Holding, 0)
		p, err := b.Reserve(FrameStdout)
		if err != nil {
			t.Fatal(err)
		}
		other := make(chan error)
		go func() { other <- b.Append(FrameStderr, []byte("err")) }()
		synctest.Wait()
		if b.End() != 0 {
			t.Fatal("two writers had the same space")
		}
		b.Commit(copy(p, "out"))
		if err := <-other; err != nil {
			t.Fatal(err)
		}
		if p, err = b.Reserve(FrameStdout); err != nil || len(p) == 0 {
			t.Fatal(err)
		}
		b.Commit(0)
		wantFrame(t, c, make([]byte, 9), FrameStdout, 3, "out")
		wantFrame(t, c, make([]byte, 9), FrameStderr, 6, "err")
		if _, ok, _ := c.take(make([]byte, 9)); ok {
			t.Error("an empty Commit made a frame")
		}
	})
}

// A reader that comes back after the end has written into memory that must not
// be anybody else's by then.
func TestBacklogLateCommitTouchesNobody(t *testing.T) {
	b := NewBacklog(0)
	p, err := b.Reserve(FrameStdout)
	if err != nil {
		t.Fatal(err)
	}
	lent := b.lent
	b.seal([]byte("{}"))
	b.Close()
	for range 64 {
		if g := newSegment(0); g == lent {
			t.Fatal("a segment was reused while a reader had it")
		}
	}
	b.Commit(copy(p, "late"))
	if b.End() != 1 {
		t.Errorf("the end moved to %d after the exit", b.End())
	}
}

func TestBacklogFreesWhatIsAcknowledged(t *testing.T) {
	b := NewBacklog(0)
	c := mustCursor(t, b, Holding, 0)
	chunk := bytes.Repeat([]byte("0123456789abcdef"), 4<<10)
	for range 64 {
		if err := b.Append(FrameStdout, chunk); err != nil {
			t.Fatal(err)
		}
		if err := c.Ack(b.End()); err != nil {
			t.Fatal(err)
		}
		held := 0
		for _, g := range b.segs {
			held += len(g.buf)
		}
		if held > RedrawTail+3*(64<<10) {
			t.Fatalf("%d bytes are kept with everything acknowledged", held)
		}
	}
	if b.end-b.start() < RedrawTail {
		t.Errorf("%d bytes are left for a redraw, want %d", b.end-b.start(), RedrawTail)
	}
	if want := b.end - RedrawTail; b.redraw() != want {
		t.Errorf("a redraw begins at %d, want %d", b.redraw(), want)
	}
	if _, err := b.Cursor(following, 0); !errors.Is(err, ErrOutputNotKept) {
		t.Errorf("a cursor before what is kept: %v", err)
	}
	if _, err := b.Cursor(Skipping, b.End()+1); !errors.Is(err, ErrOutputNotKept) {
		t.Errorf("a cursor beyond the end: %v", err)
	}
	if err := c.Ack(b.End() + 1); !errors.Is(err, ErrOutputNotKept) {
		t.Errorf("an ack beyond the end: %v", err)
	}
}
