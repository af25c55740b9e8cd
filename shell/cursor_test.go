package shell

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
)

func TestSkippingCursorGetsAGapAndRecentOutput(t *testing.T) {
	b := NewBacklog(0)
	client := mustCursor(t, b, Holding, 0)
	watcher := mustCursor(t, b, Skipping, 0)
	follower := mustCursor(t, b, following, 0)
	chunk := make([]byte, 64<<10)
	for i := range 32 {
		for j := range chunk {
			chunk[j] = byte(i)
		}
		if err := b.Append(FrameStdout, chunk); err != nil {
			t.Fatal(err)
		}
		if err := client.Ack(b.End()); err != nil {
			t.Fatal(err)
		}
	}
	buf := make([]byte, MaxFrameData)
	f, ok, err := watcher.take(buf)
	if !ok || err != nil || f.Type != FrameGap || len(f.Data) != 0 {
		t.Fatalf("got %v %v %v, want a gap", f, ok, err)
	}
	if b.End()-f.End != RedrawTail/2 {
		t.Errorf("the gap ends %d bytes before the end", b.End()-f.End)
	}
	f, _, _ = watcher.take(buf)
	if f.End != b.End() || f.Data[len(f.Data)-1] != 31 || len(f.Data) != RedrawTail/2 {
		t.Errorf("after the gap: %d bytes to %d", len(f.Data), f.End)
	}
	if _, _, err := follower.take(buf); !errors.Is(err, ErrOutputNotKept) {
		t.Errorf("a follower that was overtaken: %v", err)
	}
	late := mustCursor(t, b, Skipping, 0)
	if f, _, _ := late.take(buf); f.Type != FrameGap {
		t.Errorf("a watcher from 0 got %v first", f.Type)
	}
}

func TestTwoHoldersTheSlowerOneCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBacklog(1000)
		client, recorder := mustCursor(t, b, Holding, 0), mustCursor(t, b, Holding, 0)
		go func() {
			for b.Append(FrameStdout, make([]byte, 100)) == nil {
			}
		}()
		synctest.Wait()
		full := b.End()
		_ = client.Ack(full)
		synctest.Wait()
		if b.End() != full {
			t.Error("the program went on while a recorder was a backlog behind")
		}
		_ = recorder.Ack(full)
		synctest.Wait()
		if b.End() == full {
			t.Error("the program still waits")
		}
		recorder.Close()
		_ = client.Ack(b.End())
		synctest.Wait()
		if b.End() <= full+500 {
			t.Error("a closed recorder still holds")
		}
		b.Close()
	})
}

func TestNextEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBacklog(0)
		c := mustCursor(t, b, Skipping, 0)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			_, err := c.Next(ctx, make([]byte, 8))
			done <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		wantAppend(t, b, FrameStdout, "later")
		if f, err := c.Next(t.Context(), make([]byte, 8)); err != nil || string(f.Data) != "later" {
			t.Errorf("after that: %q, %v", f.Data, err)
		}
		wantAppend(t, b, FrameStdout, "more")
		if _, err := c.Next(t.Context(), nil); err != io.ErrShortBuffer {
			t.Errorf("an empty buffer: %v", err)
		}
	})
}

// Everything at once, for the race detector: two outputs, a client that acks, a
// recorder, a watcher that dawdles, and clients that come and go.
func TestBacklogConcurrently(t *testing.T) {
	const total = 8 << 20
	b := NewBacklog(256 << 10)
	var all sync.WaitGroup
	errs := make(chan error, 16)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	client, recorder := mustCursor(t, b, Holding, 0), mustCursor(t, b, Holding, 0)
	watcher := mustCursor(t, b, Skipping, 0)

	var writers sync.WaitGroup
	for typ := FrameStdout; typ <= FrameStderr; typ++ {
		writers.Go(func() {
			counter := byte(0)
			for left := total / 2; left > 0; {
				p, err := b.Reserve(typ)
				if err != nil {
					errs <- err
					return
				}
				n := min(len(p), left, 1+rand.IntN(40<<10))
				for i := range p[:n] {
					p[i] = counter
					counter++
				}
				left -= n
				b.Commit(n)
			}
		})
	}
	all.Go(func() { writers.Wait(); b.seal([]byte("{}")) })

	check := func(name string, c *Cursor, ack bool) func() {
		return func() {
			buf := make([]byte, 1+rand.IntN(MaxFrameData))
			var at uint64
			counters := map[FrameType]byte{}
			for {
				f, err := c.Next(ctx, buf)
				if err == io.EOF {
					return
				}
				if err != nil {
					errs <- fmt.Errorf("%s: %w", name, err)
					return
				}
				if f.Type == FrameGap {
					counters = nil
				} else if at+f.Type.Width(len(f.Data)) != f.End {
					errs <- fmt.Errorf("%s: %d + %d is not %d", name, at, len(f.Data), f.End)
				}
				if f.Type != FrameExit && counters != nil && !counts(f.Data, counters, f.Type) {
					errs <- fmt.Errorf("%s: bytes are wrong before %d", name, f.End)
				}
				at = f.End
				if ack {
					if err := c.Ack(at); err != nil {
						errs <- err
					}
				}
			}
		}
	}
	all.Go(check("client", client, true))
	all.Go(check("recorder", recorder, true))
	all.Go(check("watcher", watcher, false))
	all.Go(func() {
		for range 200 {
			if c, err := b.Cursor(following, b.redraw()); err == nil {
				_, _, _ = c.take(make([]byte, 32<<10))
				c.Close()
			}
		}
	})
	all.Wait()
	b.Close()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
}

// counts checks that data goes on where the type's counter stood.
func counts(data []byte, counters map[FrameType]byte, typ FrameType) bool {
	if len(data) == 0 {
		return true
	}
	want := counters[typ]
	counters[typ] = want + byte(len(data))
	if data[0] != want {
		return false
	}
	var ramp [512]byte
	for i := range ramp {
		ramp[i] = byte(i)
	}
	for len(data) > 0 {
		n := min(len(data), 256)
		if !bytes.Equal(data[:n], ramp[want:int(want)+n]) {
			return false
		}
		want += byte(n)
		data = data[n:]
	}
	return true
}
