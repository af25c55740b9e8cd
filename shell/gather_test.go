package shell

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// What is held back for an hour here is held for a millisecond otherwise.
func TestGatherHolds(t *testing.T) {
	b := NewBacklog(0)
	defer b.Close()
	c, err := b.Cursor(following, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	held := func(ctx context.Context, g *gatherer) <-chan struct{} {
		done := make(chan struct{})
		go func() { defer close(done); g.hold(ctx, c) }()
		return done
	}
	var g gatherer
	<-held(t.Context(), &g) // the first goes at once
	g.gave(gatherFrom - 1)
	<-held(t.Context(), &g) // and so does what follows little

	g.gave(gatherFrom)
	g.until = time.Now().Add(time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	done := held(ctx, &g)
	cancel()
	<-done

	g.until = time.Now().Add(time.Hour)
	c.poke() // something is to be told
	<-held(t.Context(), &g)

	g.until = time.Now().Add(time.Hour)
	if err := b.Append(FrameStdout, make([]byte, gatherEnough)); err != nil {
		t.Fatal(err)
	}
	<-held(t.Context(), &g) // there is enough
	if g.until.IsZero() {
		t.Error("the moment was given up though nothing was waited for")
	}
}

// sizes attaches a client: what the program says comes in frames of sizes. Those that
// come at once after one say count as one: it may have been read in two parts, for
// want of room in the first.
func (g *stage) sizes() (st *Stream, say func(n int), sizes *[]int) {
	st, sizes = g.attach(0), new([]int)
	var said atomic.Int32
	go func() {
		buf := make([]byte, 64<<10)
		var after int32
		var at time.Time
		for {
			f, err := st.Next(context.Background(), buf)
			if err != nil {
				return
			}
			if f.Type != FrameStdout {
				continue
			}
			if all := *sizes; len(all) > 0 && said.Load() == after && time.Now().Equal(at) {
				all[len(all)-1] += len(f.Data)
			} else {
				*sizes = append(all, len(f.Data))
			}
			after, at = said.Load(), time.Now()
		}
	}()
	return st, func(n int) {
		said.Add(1)
		_, _ = g.program.out.w.Write(make([]byte, n))
		synctest.Wait()
	}, sizes
}

// Output of a terminal goes at once while there is little of it, and once a
// millisecond while there is much. What has no terminal is never held.
func TestTerminalOutputIsGathered(t *testing.T) {
	for _, drawn := range []bool{true, false} {
		onStage(t, func(cfg *SessionConfig, p *fakeProgram) {
			if drawn {
				cfg.Request.Terminal = &Terminal{Term: "xterm", Winsize: Winsize{Cols: 80, Rows: 24}}
				p.err = pipe{}
			}
		}, func(g *stage) {
			st, say, sizes := g.sizes()
			for range 3 { // keys and their echo
				say(1)
			}
			for range 10 {
				say(3 << 10)
			}
			later(gatherTime)
			say(1)
			want := []int{1, 1, 1, 3 << 10, 27 << 10, 1}
			if !drawn {
				want = append(append([]int{1, 1, 1}, slices.Repeat([]int{3 << 10}, 10)...), 1)
			}
			if drawn {
				later(gatherTime) // the last key came within the millisecond of what was much
			}
			if !slices.Equal(*sizes, want) {
				t.Errorf("drawn %v: frames of %v bytes, want %v", drawn, *sizes, want)
			}
			st.Close()
		})
	}
}

// A screen that a key has drawn anew comes in several pieces, none of which
// waits for the others; what comes long after the key is gathered again.
func TestTheAnswerToInputIsNotGathered(t *testing.T) {
	onStage(t, func(cfg *SessionConfig, p *fakeProgram) {
		cfg.Request.Terminal = &Terminal{Term: "xterm", Winsize: Winsize{Cols: 80, Rows: 24}}
		p.err = pipe{}
	}, func(g *stage) {
		st, say, sizes := g.sizes()
		later(time.Second)
		g.typing(0, "k")
		for range 3 {
			say(2 << 10)
		}
		later(answerTime)
		for range 3 {
			say(2 << 10)
		}
		later(gatherTime)
		want := []int{2 << 10, 2 << 10, 2 << 10, 2 << 10, 4 << 10}
		if !slices.Equal(*sizes, want) {
			t.Errorf("frames of %v bytes, want %v", *sizes, want)
		}
		st.Close()
	})
}
