package shell

import (
	"context"
	"strings"
	"sync"
	"testing"
)

// lendingOffice is a [Room] that knows whether it is lent, and never lends the same
// memory twice.
type lendingOffice struct {
	mu     sync.Mutex
	memory []byte
	times  int
}

// lends says whether it is lent, and how often it was.
func (o *lendingOffice) lends() (now bool, times int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.memory != nil, o.times
}

func (o *lendingOffice) Take() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.memory == nil {
		o.memory, o.times = make([]byte, 4<<10), o.times+1
	}
	return o.memory
}

func (o *lendingOffice) Rest() {
	o.mu.Lock()
	defer o.mu.Unlock()
	clear(o.memory) // who still uses it is found out
	o.memory = nil
}

// view is a stream's or a watcher's.
type view interface {
	Next(ctx context.Context, buf []byte) (Frame, error)
	Lend(room Room)
	Close()
}

// shows is what v shows in memory of the office's, until it ends.
func (o *lendingOffice) shows(g *stage, v view) <-chan string {
	v.Lend(o)
	seen := make(chan string, 100)
	go func() {
		defer close(seen)
		for {
			f, err := v.Next(g.Context(), o.Take())
			if err != nil {
				return
			}
			if f.Type == FrameStdout {
				seen <- string(f.Data)
			}
		}
	}()
	return seen
}

// Whoever waits for a session that is idle holds no memory, whatever it showed before,
// and what comes then is in memory that was taken then.
func TestWhoWaitsHoldsNoRoom(t *testing.T) {
	for name, open := range map[string]func(*stage) view{
		"stream":  func(g *stage) view { return g.attach(0) },
		"watcher": func(g *stage) view { return g.watch() },
	} {
		t.Run(name, func(t *testing.T) {
			onStage(t, onTerminal, func(g *stage) {
				v, office := open(g), new(lendingOffice)
				defer v.Close()
				seen := office.shows(g, v)
				for _, text := range []string{"prompt> ", strings.Repeat("much ", 500), "prompt> "} {
					later(2 * gatherTime) // for which it may keep it
					now, times := office.lends()
					if now {
						t.Error("it is lent memory while it waits")
					}
					if _, err := g.program.out.w.Write([]byte(text)); err != nil {
						t.Fatal(err)
					}
					if got := <-seen; got != text {
						t.Errorf("%.20q came, want %.20q", got, text)
					}
					if _, after := office.lends(); after == times {
						t.Error("it was lent nothing")
					}
				}
				v.Close()
				for range seen {
				}
			})
		})
	}
}

// Under cover what a key shows moves no memory: nothing else does then, and an observer
// would see the time that it takes.
func TestUnderCoverTheRoomIsKept(t *testing.T) {
	onStage(t, underCover, func(g *stage) {
		st, office := g.attach(0), new(lendingOffice)
		seen := office.shows(g, st)
		tick := func() {
			t.Helper()
			if _, err := g.Stdin(g.Context(), key, Stdin{Cover: coverEvery}); err != nil {
				t.Fatal(err)
			}
			later(coverEvery)
		}
		for range 3 {
			tick()
		}
		_, times := office.lends()
		for range 3 {
			g.print("k")
			tick()
			if got := <-seen; got != "k" {
				t.Errorf("%q came", got)
			}
		}
		if now, after := office.lends(); after != times || !now {
			t.Errorf("memory was taken %d times, and %d before anything was shown", after, times)
		}
		later(coverLeast + 20*coverEvery)
		if now, _ := office.lends(); now {
			t.Error("it is kept after cover has ended")
		}
		st.Close()
	})
}
