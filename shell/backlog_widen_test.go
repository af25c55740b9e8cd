package shell

import (
	"testing"
	"testing/synctest"
	"time"
)

// A client far away that acknowledges all it gets is given more at once; one
// that is near, or does not read, is not.
func TestBacklogWidensOverALongWay(t *testing.T) {
	for _, c := range []struct {
		name string
		lag  time.Duration
		want int
	}{
		{"near", 2 * time.Millisecond, DefaultBacklog},
		{"far", 50 * time.Millisecond, WideBacklog},
		{"paused", time.Minute, DefaultBacklog},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := NewBacklog(0)
				b.widest = WideBacklog
				anchor, err := b.Cursor(Holding, 0)
				if err != nil {
					t.Fatal(err)
				}
				go func() {
					for b.Append(FrameStdout, make([]byte, 64<<10)) == nil {
					}
				}()
				most := 0
				for range 20 {
					synctest.Wait()
					end := b.End()
					most = max(most, int(end-anchor.held))
					<-time.After(c.lag)
					if err := anchor.Ack(end); err != nil {
						t.Fatal(err)
					}
				}
				b.Close()
				if most > c.want || most < c.want*9/10 {
					t.Errorf("%d bytes were kept, want about %d", most, c.want)
				}
			})
		})
	}
}

// A tap that is slow, as its disk is, is no long way.
func TestBacklogStaysForASlowTap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBacklog(0)
		b.widest = WideBacklog
		anchor, err := b.Cursor(Holding, 0)
		if err != nil {
			t.Fatal(err)
		}
		tap, err := newTap(b, TapOptions{Hold: true}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for b.Append(FrameStdout, make([]byte, 64<<10)) == nil {
			}
		}()
		most, buf := 0, make([]byte, 1<<20)
		for range 20 {
			for synctest.Wait(); anchor.held < b.End(); synctest.Wait() {
				if err := anchor.Ack(b.End()); err != nil {
					t.Fatal(err)
				}
			}
			<-time.After(50 * time.Millisecond)
			most = max(most, int(b.End()-tap.Offset()))
			for ok := true; ok; {
				if _, ok, err = tap.Take(buf); err != nil {
					t.Fatal(err)
				}
			}
		}
		b.Close()
		tap.Close()
		if most > DefaultBacklog {
			t.Errorf("%d bytes were kept for a slow tap", most)
		}
	})
}

// The window of a terminal is the client's: what a tap has still to read does
// not narrow it.
func TestNarrowBacklogIsTheClients(t *testing.T) {
	b := NewBacklog(0)
	anchor, err := b.Cursor(Holding, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newTap(b, TapOptions{Hold: true}, time.Now()); err != nil {
		t.Fatal(err)
	}
	b.setNarrow(64 << 10)
	piece := make([]byte, 16<<10)
	for b.End() < DefaultBacklog*9/10 {
		if err := b.Append(FrameStdout, piece); err != nil {
			t.Fatal(err)
		}
		if b.full() {
			t.Fatalf("it is full after %d bytes that the client has", b.End())
		}
		if err := anchor.Ack(b.End()); err != nil {
			t.Fatal(err)
		}
	}
	for range 80 {
		if !b.full() { // and there is room for a piece, whatever is left of a segment
			_ = b.Append(FrameStdout, piece[:1<<10])
		}
	}
	if !b.full() {
		t.Error("more waits for the client than may")
	}
}

// Whose way is long has one after an upgrade as well.
func TestWideningCrossesAnUpgrade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := firstImage(t, Limits{Linger: time.Hour}).next(0)
		if g.backlog.widest != WideBacklog || g.backlog.limit != DefaultBacklog {
			t.Errorf("%d bytes are kept, and never more than %d", g.backlog.limit, g.backlog.widest)
		}
		g.end()
	})
	b := NewBacklog(0)
	anchor, err := b.Cursor(Holding, 0)
	if err != nil {
		t.Fatal(err)
	}
	st := b.state(anchor)
	for _, widest := range []int{-1, WideBacklog + 1} {
		st.Widest = widest
		if _, _, _, err := restoreBacklog(st, false, nil); err == nil {
			t.Errorf("may widen to %d bytes", widest)
		}
	}
}
