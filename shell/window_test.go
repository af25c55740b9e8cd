package shell

import (
	"bytes"
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// What a person's Ctrl-C must wait for is little; what nobody looks at may be
// as much as a backlog holds.
func TestATerminalThatIsWatchedHasLittleOnItsWay(t *testing.T) {
	for _, drawn := range []bool{true, false} {
		onStage(t, func(cfg *SessionConfig, p *fakeProgram) {
			if drawn {
				cfg.Request.Terminal = &Terminal{Term: "xterm", Winsize: Winsize{Cols: 80, Rows: 24}}
				p.err = pipe{}
			}
		}, func(g *stage) {
			holds := func() int { return int(g.backlog.End()) }
			st := g.attach(0)
			go func() { _, _ = g.program.out.w.Write(bytes.Repeat([]byte("y\n"), DefaultBacklog)) }()
			synctest.Wait()
			if n := holds(); drawn != (n <= drawnWindow) || !drawn && n < DefaultBacklog*9/10 {
				g.Errorf("drawn %v: %d bytes wait for a client", drawn, n)
			}
			st.Close()
			synctest.Wait()
			if n := holds(); n < DefaultBacklog*9/10 {
				g.Errorf("drawn %v: %d bytes wait for nobody", drawn, n)
			}
			// Who comes back to more than fits reads it all, and holds the program.
			before := holds()
			g.attach(0)
			g.ack(uint64(before) / 2)
			synctest.Wait()
			if n := holds(); drawn != (n == before) {
				g.Errorf("drawn %v: %d bytes after %d", drawn, n, before)
			}
		})
	}
}

// What is on its way grows where it is drawn at once; far away, and where it is
// drawn slowly, a Ctrl-C has as little to wait for as ever.
func TestAWindowGoesByWhatItCosts(t *testing.T) {
	for _, c := range []struct {
		name string
		way  time.Duration // to the client and back
		rate int           // bytes a second that it draws
		want int
	}{
		{"near", time.Millisecond, 50 << 20, drawnWidest},
		{"far", 50 * time.Millisecond, 50 << 20, drawnWindow},
		{"slow", 5 * time.Millisecond, 1 << 20, drawnWindow},
	} {
		t.Run(c.name, func(t *testing.T) {
			onStage(t, onTerminal, func(g *stage) {
				st := g.attach(0)
				go func() { _, _ = g.program.out.w.Write(bytes.Repeat([]byte("y\n"), 32<<20)) }()
				buf := make([]byte, 32<<10)
				drawn := time.Now()
				for range 1000 {
					f, err := st.Next(context.Background(), buf)
					if err != nil {
						g.Fatal(err)
					}
					// Drawn one after the other, and acknowledged the way back later.
					if now := time.Now(); drawn.Before(now) {
						drawn = now
					}
					drawn = drawn.Add(time.Duration(len(f.Data)) * time.Second / time.Duration(c.rate))
					time.AfterFunc(time.Until(drawn)+c.way, func() { g.ack(f.End) })
				}
				g.Session.mu.Lock()
				got := st.window.size
				g.Session.mu.Unlock()
				if got != c.want {
					g.Errorf("%d bytes may be on their way, want %d", got, c.want)
				}
				later(time.Hour) // the rest is acknowledged
			})
		})
	}
}

// A program that does not wait for its client is none that a wider window helps,
// however soon it is acknowledged.
func TestAWindowStaysWhileNothingWaitsForIt(t *testing.T) {
	w := window{size: drawnWindow}
	never := func() bool { return false }
	for end := uint64(1); end < 100; end++ {
		w.gave(end)
		if w.acknowledged(end, never, time.Now()) || w.size != drawnWindow {
			t.Fatalf("%d bytes after %d acknowledgements", w.size, end)
		}
	}
}

// Marking output and its acknowledgement allocate nothing.
func TestAWindowCostsNoMemory(t *testing.T) {
	w := window{size: drawnWindow}
	always := func() bool { return true }
	if n := testing.AllocsPerRun(100, func() {
		w.gave(1)
		w.acknowledged(1, always, time.Now())
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// A window that has grown shrinks again for a terminal that has become slow.
func TestAWindowShrinksWhenDrawingTakesLonger(t *testing.T) {
	w := window{size: drawnWidest}
	always := func() bool { return true }
	for end := uint64(1); end < 10; end++ {
		w.gave(end)
		w.acknowledged(end, always, time.Now().Add(2*drawnLate))
	}
	if w.size != drawnWindow {
		t.Errorf("%d bytes may be on their way, want %d", w.size, drawnWindow)
	}
}

// What a key is answered with need not wait for the flood before it to be
// acknowledged, and a flood does not grow by more than that, however many keys
// are pressed.
func TestAnAnswerHasRoomBehindAFlood(t *testing.T) {
	onStage(t, onTerminal, func(g *stage) {
		g.attach(0)
		go func() { _, _ = io.Copy(io.Discard, g.program.in.r) }()
		go func() { _, _ = g.program.out.w.Write(bytes.Repeat([]byte("y\n"), DefaultBacklog)) }()
		synctest.Wait()
		full := g.backlog.End()
		for i := range 3 {
			if _, err := g.Stdin(context.Background(), key, Stdin{Offset: uint64(i), Data: []byte{3}}); err != nil {
				g.Fatal(err)
			}
			synctest.Wait()
			if more := g.backlog.End() - full; more == 0 || more > answerRoom {
				g.Errorf("%d bytes more after %d keys, want some, and at most %d", more, i+1, answerRoom)
			}
		}
		g.ack(full / 2)
		synctest.Wait()
		if waits := g.backlog.End() - full/2; waits > drawnWindow {
			g.Errorf("%d bytes wait after an acknowledgement, want at most %d", waits, drawnWindow)
		}
	})
}
