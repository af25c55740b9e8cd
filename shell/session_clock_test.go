package shell

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestKeepalives(t *testing.T) {
	onStage(t, nil, func(g *stage) {
		st := g.attach(0)
		stop := make(chan struct{})
		defer close(stop)
		go func() { // a client acknowledges at least every 10 seconds
			for {
				select {
				case <-time.After(9 * time.Second):
					_, _ = g.Stdin(g.Context(), key, Stdin{})
				case <-stop:
					return
				}
			}
		}()
		lengths, gaps := map[int]bool{}, map[time.Duration]bool{}
		buf := make([]byte, 64)
		for last := time.Now(); len(gaps) < 200; last = time.Now() {
			f, err := st.Next(g.Context(), buf)
			if err != nil || f.Type != FrameKeepalive || f.End != 0 {
				g.Fatalf("got %v to %d, %v", f.Type, f.End, err)
			}
			if len(f.Data) < 8 || len(f.Data) > 64 || &f.Data[0] != &buf[0] {
				g.Errorf("%d bytes", len(f.Data))
			}
			gap := time.Since(last)
			if gap < 3*time.Second || gap > 9*time.Second {
				g.Errorf("%v after the last one", gap)
			}
			lengths[len(f.Data)], gaps[gap] = true, true
		}
		if len(lengths) < 30 {
			g.Errorf("only %d lengths", len(lengths))
		}
	})
}

// Output does not put keepalives off: that they come is what hides typing.
func TestKeepalivesBetweenOutput(t *testing.T) {
	onStage(t, nil, func(g *stage) {
		st := g.attach(0)
		seen := 0
		for range 200 {
			g.print("x")
			f, err := st.Next(g.Context(), make([]byte, 64))
			if err != nil {
				g.Fatal(err)
			}
			if f.Type == FrameKeepalive {
				seen++
			}
			g.ack(g.backlog.End())
			later(100 * time.Millisecond)
		}
		if seen < 2 {
			g.Errorf("%d keepalives in 20 seconds", seen)
		}
	})
}

func TestSilentClientIsDetached(t *testing.T) {
	onStage(t, nil, func(g *stage) {
		st := g.attach(0)
		later(20 * time.Second)
		g.ack(0)
		later(24 * time.Second)
		if !g.Attached() {
			g.Fatal("detached too early")
		}
		released := make(chan struct{})
		st.OnEnd(func() { close(released) })
		later(2 * time.Second)
		<-released
		g.wantEnd(st)
		if g.Attached() || g.isHungUp() {
			g.Error("a silent client leaves its session detached")
		}
		if want := []EventKind{EventAttached, EventDetached}; !slices.Equal(g.kinds(), want) {
			g.Errorf("events %v, want %v", g.kinds(), want)
		}
		// It comes back within linger, and leaves for good.
		later(50 * time.Second)
		g.attach(0).Close()
		later(59 * time.Second)
		if g.isHungUp() {
			g.Fatal("hung up before linger was over")
		}
		later(2 * time.Second)
		<-g.Done()
		if got := g.Summary().Exit; got.Reason != "nobody came back to it" {
			g.Errorf("exit %+v", got)
		}
	})
}

// Requests of a detached client say that it is on its way back.
func TestLingerWaitsForAClientThatIsHeard(t *testing.T) {
	onStage(t, nil, func(g *stage) {
		g.attach(0).Close()
		for range 10 {
			later(50 * time.Second)
			g.ack(0)
		}
		if g.isHungUp() {
			g.Error("hung up while its client was heard")
		}
	})
}

func TestLinger(t *testing.T) {
	t.Run("zero ends at once", func(t *testing.T) {
		onStage(t, withLimits(Limits{}), func(g *stage) {
			st := g.attach(0)
			g.attach(0) // resumed in time: only the last connection counts
			st.Close()
			if g.isHungUp() {
				g.Fatal("an old connection's end ended the session")
			}
			later(10 * time.Second)
			g.Session.mu.Lock()
			st = g.stream
			g.Session.mu.Unlock()
			st.Close()
			<-g.Done()
		})
	})
	t.Run("time to attach first", func(t *testing.T) {
		onStage(t, withLimits(Limits{}), func(g *stage) {
			later(24 * time.Second)
			if g.isHungUp() {
				g.Fatal("hung up before anybody could attach")
			}
			later(2 * time.Second)
			<-g.Done()
		})
	})
}

// stays keeps a client attached that says nothing but acks.
func (g *stage) stays(d time.Duration) {
	for ; d > 0; d -= 10 * time.Second {
		later(min(d, 10*time.Second))
		_, _ = g.Stdin(g.Context(), key, Stdin{})
	}
}

func TestIdleTimeout(t *testing.T) {
	onStage(t, withLimits(Limits{IdleTimeout: time.Minute, Linger: time.Hour}), func(g *stage) {
		st := g.attach(0)
		g.stays(50 * time.Second)
		g.typing(0, "x")
		g.stays(50 * time.Second)
		g.print("x")
		g.stays(50 * time.Second)
		if g.isHungUp() {
			g.Fatal("not idle")
		}
		g.stays(9 * time.Second) // an ack is no activity
		if g.isHungUp() {
			g.Fatal("not idle for long enough")
		}
		later(time.Second)
		if f := g.next(st); f.Type != FrameNotice || !strings.Contains(string(f.Data), `"idle"`) {
			g.Errorf("got %v %s", f.Type, f.Data)
		}
		if e, _ := g.exitOf(st); e.Reason != "idle timeout" {
			g.Errorf("exit %+v", e)
		}
	})
}

func TestMaxDuration(t *testing.T) {
	for _, c := range []struct {
		limit time.Duration
		want  []time.Duration // when a notice comes
	}{
		{time.Hour, []time.Duration{55 * time.Minute, 59 * time.Minute, time.Hour}},
		{5 * time.Minute, []time.Duration{4 * time.Minute, 5 * time.Minute}},
		{30 * time.Second, []time.Duration{30 * time.Second}},
	} {
		t.Run(c.limit.String(), func(t *testing.T) {
			onStage(t, withLimits(Limits{MaxDuration: c.limit, Linger: time.Hour}), func(g *stage) {
				st := g.attach(0)
				begin := time.Now()
				go g.stays(c.limit + time.Minute)
				var got []time.Duration
				for {
					f := g.next(st)
					if f.Type == FrameExit {
						break
					}
					var n Notice
					if err := json.Unmarshal(f.Data, &n); err != nil || n.Code != "max_duration" {
						g.Errorf("got %v %q", f.Type, f.Data)
					}
					got = append(got, time.Since(begin))
				}
				if !slices.Equal(got, c.want) {
					g.Errorf("notices at %v, want %v", got, c.want)
				}
				if e := g.Summary().Exit; e.Reason != "maximum duration" {
					g.Errorf("exit %+v", e)
				}
			})
		})
	}
}

func TestRegrantAppliesAtOnce(t *testing.T) {
	onStage(t, withLimits(Limits{Linger: time.Hour}), func(g *stage) {
		st := g.attach(0)
		g.stays(10 * time.Minute)
		grant := g.Grant()
		grant.Limits.MaxDuration = 13 * time.Minute
		g.Regrant(grant)
		g.want(st, FrameNotice, 0, `{"code":"max_duration","text":"this session ends in 3m0s: it may last 13m0s"}`)
		grant.Limits.IdleTimeout = 5 * time.Minute
		g.Regrant(grant)
		if e, _ := g.exitOf(st); e.Reason != "idle timeout" {
			g.Errorf("exit %+v", e)
		}
		if g.Grant().Limits.IdleTimeout != 5*time.Minute {
			g.Error("the old grant is still told")
		}
	})
}

// What a busy session does must not set its timer again and again.
func TestTimerIsSetRarely(t *testing.T) {
	onStage(t, withLimits(Limits{IdleTimeout: time.Hour, Linger: time.Hour}), func(g *stage) {
		st := g.attach(0)
		armed := g.armed
		for i := range 100 {
			g.typing(uint64(i), "x")
			g.reads(1)
			g.print("x")
			g.want(st, FrameStdout, uint64(i+1), "x")
			g.ack(uint64(i + 1))
		}
		synctest.Wait()
		if g.armed != armed {
			g.Error("keystrokes set the timer")
		}
	})
}

// Without a linger a lost connection is the end, unless it was the agent that lost
// it, as it finds out a moment later.
func TestConnectionLostByTheAgent(t *testing.T) {
	for name, c := range map[string]struct {
		toldAfter time.Duration // 0: never
		lives     time.Duration
	}{
		"by the client":   {0, ownLoss},
		"by the agent":    {ownLoss / 2, ownLoss/2 + silence},
		"told too late":   {ownLoss + time.Second, ownLoss},
		"told just so":    {ownLoss - time.Millisecond, ownLoss - time.Millisecond + silence},
		"told when it is": {time.Nanosecond, time.Nanosecond + silence},
	} {
		t.Run(name, func(t *testing.T) {
			onStage(t, func(cfg *SessionConfig, _ *fakeProgram) { cfg.Grant.Limits.Linger = 0 }, func(g *stage) {
				g.attach(0).Close()
				if c.toldAfter > 0 {
					time.AfterFunc(c.toldAfter, g.AwaitClient)
				}
				later(c.lives - time.Nanosecond)
				if g.isHungUp() {
					g.Error("hung up too early")
				}
				later(time.Nanosecond)
				if !g.isHungUp() {
					g.Error("not hung up")
				}
			})
		})
	}
}
