package shell

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"testing/synctest"
	"time"
)

// image is what one image of the agent has: a registry and, for these tests,
// one session of a movable program.
type image struct {
	*testing.T
	*Session
	registry *Registry
	program  *movable
	events   chan Event
	gone     int
}

func firstImage(t *testing.T, limits Limits) *image {
	t.Helper()
	g := &image{T: t, registry: NewRegistry(0), program: newMovable(), events: make(chan Event, 1000)}
	opening := Opening{ID: key, Key: "identity", Hash: "hash", Source: "debug", MaxSessions: 3}
	s, _, err := g.registry.Open(t.Context(), opening, func() (*Session, error) {
		cfg := g.config()
		cfg.ID, cfg.Remote, cfg.OpenHash = key, home, "hash"
		cfg.Grant = Grant{Source: "debug", Subject: "ann", Key: "identity", Limits: limits}
		cfg.Request = OpenRequest{Argv: []string{"cat"}}
		return NewSession(cfg, g.program), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	g.Session = s
	return g
}

func (g *image) config() SessionConfig {
	return SessionConfig{OnEvent: func(e Event) { g.events <- e }, OnGone: func() { g.gone++ }}
}

// next freezes the image and makes the next one from what crosses: its state as
// JSON, and its bytes. The program is the same; what the older image still
// waits for never comes.
func (g *image) next(pause time.Duration) *image {
	g.Helper()
	if err := g.registry.Freeze(g.Context()); err != nil {
		g.Fatal(err)
	}
	next := &image{T: g.T, registry: NewRegistry(0), program: newMovable(), events: g.events}
	var states []SessionState
	var restored Program
	err := g.registry.States(func(st SessionState, p Program) error {
		states = append(states, cross(g.T, st))
		if p != nil {
			next.program = p.(*movable).move()
			restored = next.program
		}
		return nil
	})
	if err != nil || len(states) != 1 {
		g.Fatalf("%d states, %v", len(states), err)
	}
	// What the older image still has ends with its program's double.
	g.program.do(func() { g.program.output, g.program.outputEnd, g.program.ended = nil, true, &Exit{} })
	g.registry.Thaw()
	g.registry.HangUpAll("")
	if pause > 0 {
		<-time.After(pause)
	}
	if next.Session, err = RestoreSession(next.config(), states[0], restored, pause); err != nil {
		g.Fatal(err)
	}
	if err := next.registry.Adopt(states[0].Opening, next.Session); err != nil {
		g.Fatal(err)
	}
	return next
}

// move hands the program to another image; the older one keeps an empty shell.
func (p *movable) move() *movable {
	p.mu.Lock()
	defer p.mu.Unlock()
	q := newMovable()
	q.output, q.outputEnd, q.taken, q.room = bytes.Clone(p.output), p.outputEnd, bytes.Clone(p.taken), p.room
	q.inputEnd, q.ended, q.hangUps, q.closed = p.inputEnd, p.ended, p.hangUps, p.closed
	q.suspended = true
	return q
}

// cross is what a state goes through on its way.
func cross(t *testing.T, st SessionState) SessionState {
	t.Helper()
	text, err := json.Marshal(st)
	if err != nil {
		t.Fatal(err)
	}
	var arrived SessionState
	if err := json.Unmarshal(text, &arrived); err != nil {
		t.Fatal(err)
	}
	if parts := st.Input.Queued; len(parts) > 0 {
		arrived.Input.Queued = [][]byte{bytes.Join(parts, nil)}
	}
	if parts := st.Output.Records; len(parts) > 0 {
		arrived.Output.Records = [][]byte{bytes.Join(parts, nil)}
	}
	return arrived
}

// end lets everything end.
func (g *image) end() {
	g.registry.HangUpAll("the test is over")
	later(2 * time.Hour)
	select {
	case <-g.Gone():
	default:
		g.Error("the session is still there two hours after its end")
	}
}

// output reads what a stream has until offset.
func (g *image) output(from, until uint64) (text string) {
	g.Helper()
	st, err := g.Attach(key, home, from)
	if err != nil {
		g.Fatalf("attach from %d: %v", from, err)
	}
	defer st.Close()
	for {
		f, err := st.Next(g.Context(), make([]byte, 32<<10))
		if err != nil {
			g.Fatalf("Next: %v", err)
		}
		if f.Type != FrameKeepalive && f.Type != FrameNotice {
			text += string(f.Data)
		}
		if f.End >= until {
			return text
		}
	}
}

func (g *image) send(in Stdin) uint64 {
	g.Helper()
	next, err := g.Stdin(g.Context(), g.SessionKey(), in)
	if err != nil {
		g.Fatal(err)
	}
	return next
}

func TestSessionCrossesAnUpgrade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := firstImage(t, Limits{Linger: time.Minute})
		g.program.do(func() { g.program.output = []byte("0123456789"); g.program.room = 3 })
		synctest.Wait()
		if got := g.output(0, 10); got != "0123456789" {
			t.Fatalf("read %q", got)
		}
		g.send(Stdin{Data: []byte("abcdefgh"), Ack: 4})
		synctest.Wait()

		for i := range 5 {
			g = g.next(time.Second)
			if got := g.output(4, uint64(10+i)); got != "456789!!!!!"[:6+i] {
				t.Fatalf("image %d: read %q", i, got)
			}
			if next := g.StdinNext(); next != 8 {
				t.Fatalf("image %d: expects input from %d", i, next)
			}
			g.program.do(func() { g.program.output = []byte("!"); g.program.room = 1 })
			synctest.Wait()
			if got := string(g.program.taken); got != "abcdefgh"[:4+i] {
				t.Fatalf("image %d: the program was given %q", i, got)
			}
		}
		g.send(Stdin{Offset: 4, Data: []byte("efgh"), EOF: true})
		g.program.do(func() { g.program.room = 10 })
		synctest.Wait()
		if got := string(g.program.taken); got != "abcdefgh" || g.program.inputEnd != 1 {
			t.Errorf("the program was given %q, and %d ends", got, g.program.inputEnd)
		}
		g = g.next(0)
		g.program.do(func() { g.program.outputEnd, g.program.ended = true, &Exit{Code: 7} })
		synctest.Wait()
		g = g.next(0)
		if got := g.output(15, 16); got != `{"code":7}` {
			t.Errorf("the exit is %q", got)
		}
		g.send(Stdin{Ack: 16})
		<-g.Gone()
		if g.gone != 1 || g.registry.ByID(key) != nil || g.registry.ByKid(key) != nil {
			t.Error("the session is known after it is gone")
		}
		g.end()
	})
}

// One session in each state there is; what a summary says must not change.
func TestEveryStateCrosses(t *testing.T) {
	for name, play := range map[string]func(*image){
		"fresh": func(*image) {},
		"taken over": func(g *image) {
			if _, err := g.TakeOver("other", home); err != nil {
				g.Fatal(err)
			}
			if err := g.Control(g.Context(), "other", ControlRequest{Seq: 5}); err != nil {
				g.Fatal(err)
			}
		},
		"noticed":    func(g *image) { g.Notify(Notice{Code: "banner", Text: "hello"}) },
		"hung up":    func(g *image) { g.program.do(func() { g.program.closed = true }); g.HangUp("reason") },
		"input shut": func(g *image) { g.send(Stdin{EOF: true}) },
		"ended": func(g *image) {
			g.program.do(func() { g.program.outputEnd, g.program.ended = true, &Exit{Code: 1, Core: true, Signal: "ABRT"} })
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := firstImage(t, Limits{Linger: time.Minute, IdleTimeout: time.Hour, MaxDuration: 24 * time.Hour})
				later(time.Second)
				play(g)
				synctest.Wait()
				before, kid := g.Summary(), g.SessionKey()
				grant, request, started := g.Grant(), g.Request(), g.Started()
				g = g.next(time.Minute / 2)
				if after := g.Summary(); !reflect.DeepEqual(withoutClient(before), withoutClient(after)) {
					t.Errorf("was %+v, is %+v", before, after)
				}
				if g.SessionKey() != kid || !reflect.DeepEqual(grant, g.Grant()) || !reflect.DeepEqual(request, g.Request()) ||
					!g.Started().Equal(started) || g.OpenHash() != "hash" {
					t.Errorf("key %s, grant %+v, request %+v, started %v", g.SessionKey(), g.Grant(), g.Request(), g.Started())
				}
				g.end()
			})
		})
	}
}

func withoutClient(s SessionSummary) SessionSummary {
	s.Attached = false
	return s
}

// No limit of time starts anew, and none passes sooner.
func TestLimitsCrossAnUpgrade(t *testing.T) {
	for _, c := range []struct {
		name   string
		limits Limits
		ends   time.Duration
		reason string
	}{
		{"linger", Limits{Linger: 10 * time.Minute}, 10 * time.Minute, "nobody came back to it"},
		{"idle", Limits{Linger: time.Hour, IdleTimeout: 10 * time.Minute}, 10 * time.Minute, "idle timeout"},
		{"duration", Limits{Linger: time.Hour, MaxDuration: 10 * time.Minute}, 10 * time.Minute, "maximum duration"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := firstImage(t, c.limits)
				begin := time.Now()
				st, err := g.Attach(key, home, 0)
				if err != nil {
					t.Fatal(err)
				}
				st.Close()
				for range 5 {
					later(time.Minute)
					g = g.next(time.Second)
				}
				<-g.Done()
				if took := time.Since(begin); took != c.ends {
					t.Errorf("ended after %v, not %v", took, c.ends)
				}
				if exit := g.Summary().Exit; exit == nil || exit.Reason != c.reason {
					t.Errorf("the exit is %+v", exit)
				}
				g.end()
			})
		})
	}
}

// Without a linger a lost connection ends the session; one that the agent cuts
// itself does not, unless nobody comes back.
func TestClientHasTimeToComeBack(t *testing.T) {
	for _, told := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			g := firstImage(t, Limits{})
			st, err := g.Attach(key, home, 0)
			if err != nil {
				t.Fatal(err)
			}
			if told {
				g.registry.AwaitClients()
				st.Close()
			}
			g = g.next(time.Second)
			later(silence - 2*time.Second)
			if g.isHungUp() {
				t.Fatal("the client had no time to come back")
			}
			if st, err = g.Attach(key, home, 0); err != nil {
				t.Fatal(err)
			}
			st.Close()
			later(ownLoss)
			if !g.isHungUp() {
				t.Error("linger no longer counts")
			}
			g.end()
		})
	}
}

// An upgrade that fails leaves everything as it was.
func TestThaw(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := firstImage(t, Limits{Linger: time.Hour})
		g.send(Stdin{Data: []byte("abc"), EOF: true})
		synctest.Wait()
		for i := range 3 {
			if err := g.registry.Freeze(t.Context()); err != nil {
				t.Fatal(err)
			}
			g.program.do(func() { g.program.output = append(g.program.output, "xyz"[i]); g.program.room++ })
			later(10 * time.Second)
			if end := g.backlog.End(); end != uint64(i) || len(g.program.taken) != i {
				t.Fatalf("frozen at %d bytes, there are %d of output and %d of input", i, end, len(g.program.taken))
			}
			g.registry.Thaw()
			synctest.Wait()
		}
		if got := g.output(0, 3); got != "xyz" || string(g.program.taken) != "abc" || g.program.inputEnd != 1 {
			t.Errorf("output %q, input %q, %d ends", got, g.program.taken, g.program.inputEnd)
		}
		g.end()
	})
}

func TestFreezeGivesUp(t *testing.T) {
	onStage(t, nil, func(g *stage) { // whose program cannot be suspended
		ctx, cancel := context.WithTimeout(g.Context(), time.Second)
		defer cancel()
		if err := g.Freeze(ctx); !errors.Is(err, context.DeadlineExceeded) {
			g.Errorf("got %v", err)
		}
		g.print("goes on")
		g.want(g.attach(0), FrameStdout, 7, "goes on")
	})
}

// Everything that is kept crosses, of both types and any size, and no more.
func TestBacklogCrosses(t *testing.T) {
	for _, size := range []int{0, 1, 4096, 70 << 10, 1 << 20} {
		b := NewBacklog(2 << 20)
		anchor, err := b.Cursor(Holding, 0)
		if err != nil {
			t.Fatal(err)
		}
		var want []byte
		for i := 0; len(want) < size; i++ {
			p := bytes.Repeat([]byte{byte(i)}, min(1+i*i, size-len(want)))
			if err := b.Append(FrameStdout+FrameType(i%2), p); err != nil {
				t.Fatal(err)
			}
			want = append(want, p...)
		}
		if err := anchor.Ack(uint64(size / 2)); err != nil {
			t.Fatal(err)
		}
		st := b.state(anchor)
		restored, held, _, err := restoreBacklog(st, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		if restored.End() != uint64(size) || held.held != uint64(size/2) {
			t.Fatalf("size %d: end %d, held %d", size, restored.End(), held.held)
		}
		if a, b := restored.redraw(), b.redraw(); a != b {
			t.Errorf("size %d: a redraw begins at %d, before at %d", size, a, b)
		}
		from := restored.redraw()
		c, err := restored.Cursor(following, from)
		if err != nil {
			t.Fatal(err)
		}
		var got []byte
		buf := make([]byte, 32<<10)
		for c.position() < uint64(size) {
			f, err := c.Next(t.Context(), buf)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, f.Data...)
		}
		if !bytes.Equal(got, want[from:]) {
			t.Errorf("size %d: other bytes came out", size)
		}
	}
}

// FuzzRestoreSession restores sessions from whatever was handed over; an error
// is as good as a session, a panic is not.
func FuzzRestoreSession(f *testing.F) {
	add := func(st SessionState, records, queued string) {
		text, err := json.Marshal(st)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text, []byte(records), []byte(queued))
	}
	add(SessionState{Opening: Opening{ID: key}, Keys: []string{key}, Output: OutputState{Limit: 4096}}, "\x02\x00\x00\x03abc\x03\x00\x00\x01x", "")
	add(SessionState{Opening: Opening{ID: key}, Keys: []string{key}, Ended: true, Finished: true}, "\x07\x00\x00\x0a{\"code\":0}", "")
	add(SessionState{Opening: Opening{ID: key}, Keys: []string{key}, Input: InputState{Next: 8, Given: 5}}, "", "abc")
	f.Fuzz(func(t *testing.T, text, records, queued []byte) {
		var st SessionState
		if json.Unmarshal(text, &st) != nil {
			return
		}
		st.Output.Records, st.Input.Queued = [][]byte{records}, [][]byte{queued}
		synctest.Test(t, func(t *testing.T) {
			p := newMovable()
			p.room = 1 << 20
			s, err := RestoreSession(SessionConfig{}, st, p, time.Second)
			if err != nil {
				return
			}
			defer func() { <-s.Gone() }()
			s.HangUp("over")
			if c, err := s.backlog.Cursor(following, s.backlog.redraw()); err == nil {
				f, ok, err := c.take(make([]byte, 64))
				// Asked afterwards: the exit may be appended at any moment.
				if end := s.backlog.End(); err == nil && ok && f.End > end {
					panic(fmt.Sprintf("frame to %d of %d", f.End, end))
				}
				c.Close()
			}
		})
	})
}
