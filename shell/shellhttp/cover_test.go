package shellhttp

import (
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"shellagent/shell"
)

// A key prolongs cover and moves no tick, whenever it is typed.
func TestKeysDoNotMoveTheClock(t *testing.T) {
	start := time.Unix(1_800_000_000, 0)
	for _, tick := range []time.Duration{coverTick, 31 * time.Millisecond} {
		idle, typed := newCoverClock(start, tick), newCoverClock(start, tick)
		now := start
		for range 10_000 {
			a, b := idle.next(now), typed.next(now)
			if !a.Equal(b) || a.Sub(start) != coverLead+a.Sub(start).Truncate(tick) || a.Before(now.Add(coverLead)) {
				t.Fatalf("ticks %v and %v after %v", a.Sub(start), b.Sub(start), now.Sub(start))
			}
			if rand.IntN(8) == 0 {
				typed.typed(now.Add(rand.N(tick)))
			}
			now = a
			if rand.IntN(50) == 0 { // held up
				now = now.Add(rand.N(10 * tick))
			}
		}
	}
}

// The key that begins a burst waits for no tick, though a moment passes before the
// clock is asked; nor does one that is typed while the machine is busy.
func TestTheFirstKeyLeavesAtOnce(t *testing.T) {
	start := time.Unix(1_800_000_000, 0)
	for _, late := range []time.Duration{0, 3 * time.Microsecond, coverLead, coverTick - coverLead} {
		c := newCoverClock(start, coverTick)
		if got := c.next(start.Add(late)).Sub(start); got != coverLead {
			t.Errorf("asked %v later it leaves after %v", late, got)
		}
		if got := c.next(start.Add(late + coverLead)).Sub(start); got != coverLead+coverTick {
			t.Errorf("asked %v later the next one leaves after %v", late, got)
		}
	}
}

func TestCoverEndsAWhileAfterTheLastKey(t *testing.T) {
	start := time.Unix(1_800_000_000, 0)
	tails := map[time.Duration]bool{}
	for range 50 {
		c := newCoverClock(start, coverTick)
		c.typed(start)
		c.typed(start.Add(time.Second))
		tail := c.until.Sub(start.Add(time.Second))
		tails[tail] = true
		if tail < minCoverTail || tail > maxCoverTail || c.over(c.until.Add(-1)) || !c.over(c.until) {
			t.Errorf("it ends %v after the last key", tail)
		}
	}
	if len(tails) < 40 {
		t.Errorf("the end is after one of %d times", len(tails))
	}
}

func TestTicksFollowTheRoundTrip(t *testing.T) {
	for trip, want := range map[time.Duration]time.Duration{
		0: coverTick, 300 * time.Microsecond: coverTick, 50 * time.Millisecond: 12500 * time.Microsecond, time.Minute: maxCoverTick,
	} {
		if got := tickFor(trip); got != want {
			t.Errorf("%v: %v", trip, got)
		}
	}
}

// sentInput is what a broker saw of a request with input.
type sentInput struct {
	shell.Stdin
	size int // token and body
}

// watchInput has a broker note what comes.
func watchInput(b *testBroker) func() []sentInput {
	var mu sync.Mutex
	var all []sentInput
	b.before = func(call *shell.Call) (*shell.Reply, error) {
		if !isStdin(call) {
			return nil, nil
		}
		in, err := stdinOf(call)
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			all = append(all, sentInput{in, len(call.Token) + call.Size})
		}
		return nil, nil
	}
	return func() []sentInput {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(all)
	}
}

func underCover(cfg *ClientConfig) { cfg.Cover, cfg.Encoding = true, Frames }

// echoed types text in pieces of a few bytes and waits until all came back.
func echoed(t *testing.T, s *Session, text string, between func()) {
	t.Helper()
	go func() {
		for rest := text; rest != ""; {
			n := min(len(rest), 1+rand.IntN(3))
			if _, err := io.WriteString(s, rest[:n]); err != nil {
				return
			}
			rest = rest[n:]
			between()
		}
	}()
	l := s.Lasting(nil)
	for got := ""; got != text; {
		f, err := l.Next(t.Context())
		if err != nil {
			t.Fatalf("after %q: %v", got, err)
		}
		if got += string(f.Data); !strings.HasPrefix(text, got) {
			t.Fatalf("%q came back", got)
		}
		l.Ack(f.End)
	}
}

func TestCoveredRequestsAreOfOneSize(t *testing.T) {
	for _, agreed := range []bool{true, false} {
		t.Run(fmt.Sprintf("MAC %v", agreed), func(t *testing.T) {
			b := newTestBroker(t, map[string]script{"cat": catScript})
			b.unagreed.Store(!agreed)
			seen := watchInput(b)
			s := open(t, serve(t, b).client(t, underCover), "cat", shell.OpenRequest{Terminal: terminal})
			echoed(t, s, strings.Repeat("typed and shown; ", 12), func() {
				n := len(seen())
				eventually(t, "the next tick", func() bool { return len(seen()) > n })
			})
			keys, chaff := 0, 0
			for _, in := range seen() {
				if in.size != coverSize || in.Cover == 0 || len(in.Data) > coverData {
					t.Fatalf("a request of %d bytes with %d of input", in.size, len(in.Data))
				}
				if len(in.Data) > 0 {
					keys++
				} else {
					chaff++
				}
			}
			if keys == 0 || chaff == 0 {
				t.Errorf("%d requests with keys, %d without", keys, chaff)
			}
		})
	}
}

// Refused, taken with a lost answer, or left lying: every input arrives once.
func TestCoveredInputSurvivesFaults(t *testing.T) {
	for name, reason := range map[string]shell.Reason{
		"unavailable": shell.ReasonUnavailable, "replayed": shell.ReasonCounter, "stale": shell.ReasonStale, "": "",
	} {
		t.Run("answers lost: "+name, func(t *testing.T) {
			t.Parallel()
			b := newTestBroker(t, map[string]script{"cat": catScript})
			var mu sync.Mutex
			faults := map[uint64]bool{}
			b.after = func(call *shell.Call, r *shell.Reply) *shell.Reply {
				if !isStdin(call) || r.Status != 200 || reason == "" {
					return r
				}
				mu.Lock()
				defer mu.Unlock()
				if n := uint64(len(faults)); n < 6 && !faults[n] {
					faults[n] = true
					return problemOf(shell.Deny(reason, nil))
				}
				return r
			}
			s := open(t, serve(t, b).client(t, underCover), "cat", shell.OpenRequest{Terminal: terminal})
			echoed(t, s, strings.Repeat("0123456789", 9), func() {})
		})
	}
}

// What is too much to have been typed is sent as without cover, in its place.
func TestAPasteLeavesCover(t *testing.T) {
	b := newTestBroker(t, map[string]script{"cat": catScript})
	seen := watchInput(b)
	s := open(t, serve(t, b).client(t, underCover), "cat", shell.OpenRequest{Terminal: terminal})
	io.WriteString(s, "before ")
	want := "before " + strings.Repeat("pasted ", 20_000) + "after"
	io.WriteString(s, strings.Repeat("pasted ", 20_000))
	io.WriteString(s, "after")
	s.CloseWrite()
	if o := readAll(t, s); string(o.out) != want {
		t.Errorf("%d bytes came back of %d", len(o.out), len(want))
	}
	for _, in := range seen() {
		if (in.Cover > 0) != (in.size == coverSize) {
			t.Errorf("%d bytes under cover in a request of %d", len(in.Data), in.size)
		}
	}
}

func TestCoverIsForTerminalsThatWantIt(t *testing.T) {
	for name, c := range map[string]struct {
		cover bool
		term  *shell.Terminal
	}{"off": {false, terminal}, "pipes": {true, nil}} {
		t.Run(name, func(t *testing.T) {
			b := newTestBroker(t, map[string]script{"cat": catScript})
			seen := watchInput(b)
			s := open(t, serve(t, b).client(t, func(cfg *ClientConfig) { cfg.Cover = c.cover }), "cat", shell.OpenRequest{Terminal: c.term})
			io.WriteString(s, "key")
			s.CloseWrite()
			readAll(t, s)
			for _, in := range seen() {
				if in.Cover != 0 {
					t.Errorf("a request under cover: %+v", in)
				}
			}
		})
	}
}
