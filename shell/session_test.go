package shell

import (
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestStatusThenOutputThenExit(t *testing.T) {
	onStage(t, nil, func(g *stage) {
		st := g.attach(0)
		g.print("out")
		g.program.exit <- Exit{Code: 7} // the program ends before its pipes
		synctest.Wait()
		_, _ = g.program.err.w.Write([]byte("err"))
		g.program.err.w.Close()
		synctest.Wait()
		select {
		case <-g.Done():
			g.Fatal("done while standard output is open")
		default:
		}
		g.print("late")
		g.program.out.w.Close()
		g.want(st, FrameStdout, 3, "out")
		g.want(st, FrameStderr, 6, "err")
		g.want(st, FrameStdout, 10, "late")
		g.want(st, FrameExit, 11, `{"code":7}`)
		<-g.Done()
		if !g.program.closed {
			g.Error("done before the program was released")
		}
		g.ack(11)
		g.wantEnd(st)
		<-g.Gone()
		if want := []EventKind{EventAttached, EventEnded, EventDetached}; !slices.Equal(g.kinds(), want) {
			g.Errorf("events %v, want %v", g.kinds(), want)
		}
	})
}

func TestExitIsToldOnce(t *testing.T) {
	onStage(t, nil, func(g *stage) {
		st := g.attach(0)
		g.program.end(Exit{Code: 0})
		if _, end := g.exitOf(st); end != 1 {
			g.Errorf("the exit ends at %d", end)
		}
		// Not acknowledged: told again to who asks again.
		st = g.attach(0)
		g.want(st, FrameExit, 1, `{"code":0}`)
		if !g.Summary().Ended || g.Summary().Output != 0 || g.Summary().Exit == nil {
			g.Errorf("summary %+v", g.Summary())
		}
		g.ack(1)
		g.wantEnd(st)
		<-g.Gone()
		_, err := g.Attach(key, home, 0)
		wantReason(g, err, ReasonSessionEnded)
		_, err = g.Stdin(g.Context(), key, Stdin{Ack: 1})
		wantReason(g, err, ReasonSessionEnded)
		_, err = g.TakeOver("other", home)
		wantReason(g, err, ReasonSessionUnknown)
		g.Notify(Notice{Code: "policy"})
		g.HangUp("late")
		st.Close()
	})
}

func TestEndedSessionIsKeptForAWhile(t *testing.T) {
	onStage(t, withLimits(Limits{Linger: 5 * time.Second}), func(g *stage) {
		g.program.end(Exit{})
		<-g.Done()
		later(retention - time.Second)
		st := g.attach(0)
		g.exitOf(st)
		st.Close()
		later(2 * time.Second)
		select {
		case <-g.Gone():
		default:
			g.Error("kept longer than its time without an acknowledgement")
		}
	})
}

func TestAttachErrors(t *testing.T) {
	onStage(t, nil, func(g *stage) {
		g.print("hello")
		_, err := g.Attach(key, home, 6)
		wantReason(g, err, ReasonOutput)
		_, err = g.Attach("stranger", home, 0)
		wantReason(g, err, ReasonSessionOwner)
		if g.Attached() {
			g.Error("a refused client is attached")
		}
		st := g.attach(2)
		g.want(st, FrameStdout, 5, "llo")
		_, err = g.Stdin(g.Context(), key, Stdin{Ack: 6})
		wantReason(g, err, ReasonOutput)
		err = g.Control(g.Context(), key, ControlRequest{Seq: 1, Ack: 99, Close: true})
		wantReason(g, err, ReasonOutput)
		if g.isHungUp() {
			g.Error("a request with a wrong ack was carried out")
		}
	})
}

func TestAttachAgainEndsTheOlderStream(t *testing.T) {
	onStage(t, nil, func(g *stage) {
		old := g.attach(0)
		ended := 0
		old.OnEnd(func() { ended++ })
		got := make(chan error)
		go func() {
			_, err := old.Next(g.Context(), make([]byte, 64))
			got <- err
		}()
		synctest.Wait()
		st := g.attach(0)
		if err := <-got; err != io.EOF {
			g.Errorf("the older stream: %v", err)
		}
		old.Close()
		old.OnEnd(func() { ended++ })
		if ended != 2 || !g.Attached() {
			g.Errorf("%d calls of OnEnd; attached %v", ended, g.Attached())
		}
		g.print("x")
		g.want(st, FrameStdout, 1, "x")
	})
}

func TestTakeOver(t *testing.T) {
	onStage(t, nil, func(g *stage) {
		old := g.attach(0)
		g.print("screen")
		g.ack(6)
		g.typing(0, "half")
		st, err := g.TakeOver("new-key", home)
		if err != nil {
			g.Fatal(err)
		}
		if st.From() != 0 || st.StdinNext() != 4 {
			g.Errorf("from %d, input %d: a redraw begins at 0, input at 4", st.From(), st.StdinNext())
		}
		g.want(old, FrameNotice, 0, `{"code":"taken_over","text":"another client has taken this session over"}`)
		g.wantEnd(old)
		g.want(st, FrameStdout, 6, "screen")

		_, err = g.Stdin(g.Context(), key, Stdin{Offset: 4, Data: []byte("x")})
		wantReason(g, err, ReasonTakenOver)
		wantReason(g, g.Control(g.Context(), key, ControlRequest{Seq: 9, Close: true}), ReasonTakenOver)
		_, err = g.Attach(key, home, 0)
		wantReason(g, err, ReasonTakenOver)
		if next, err := g.Stdin(g.Context(), "new-key", Stdin{Offset: 4, Data: []byte("!")}); err != nil || next != 5 {
			g.Errorf("the new client's input: %d, %v", next, err)
		}
		// A repeated attach of the same client takes nothing over.
		again, err := g.TakeOver("new-key", home)
		if err != nil {
			g.Fatal(err)
		}
		g.wantEnd(st)
		g.want(again, FrameStdout, 6, "screen")
	})
}

func TestTakeOverRefusesInputThatWaits(t *testing.T) {
	onStage(t, nil, func(g *stage) {
		g.attach(0)
		answer := make(chan error)
		go func() {
			_, err := g.Stdin(g.Context(), key, Stdin{Data: make([]byte, maxInput+100)})
			answer <- err
		}()
		synctest.Wait()
		if _, err := g.TakeOver("new-key", home); err != nil {
			g.Fatal(err)
		}
		synctest.Wait()
		select {
		case err := <-answer:
			wantReason(g, err, ReasonTakenOver)
		default:
			g.Error("the older client's request still waits")
		}
		if g.StdinNext() != maxInput {
			g.Errorf("%d bytes were taken", g.StdinNext())
		}
		g.program.in.r.Close()
	})
}

func TestSessionKeysAreBounded(t *testing.T) {
	onStage(t, nil, func(g *stage) {
		for i := range 50 {
			if _, err := g.TakeOver(strings.Repeat("k", i+1), home); err != nil {
				g.Fatal(err)
			}
		}
		if len(g.kids) != maxSessionKeys {
			g.Errorf("%d keys are remembered", len(g.kids))
		}
	})
}

func TestNoticesWaitForAClient(t *testing.T) {
	onStage(t, nil, func(g *stage) {
		for i := range 20 {
			g.Notify(Notice{Code: "policy", Text: string(rune('a' + i))})
		}
		st := g.attach(0)
		for i := 20 - maxNotices; i < 20; i++ {
			g.want(st, FrameNotice, 0, `{"code":"policy","text":"`+string(rune('a'+i))+`"}`)
		}
		g.print("x")
		g.want(st, FrameStdout, 1, "x")
		g.Notify(Notice{Code: "watched", Text: "bob looks on"})
		g.want(st, FrameNotice, 1, `{"code":"watched","text":"bob looks on"}`)
		g.print("y")
		g.want(st, FrameStdout, 2, "y")
		if st.due.Load()&dueNotice != 0 {
			g.Error("notices are looked for before every frame")
		}
	})
}

func TestEventsName(t *testing.T) {
	onStage(t, nil, func(g *stage) {
		st := g.attach(0)
		g.print("12345")
		g.want(st, FrameStdout, 5, "12345")
		g.typing(0, "abc")
		g.reads(3)
		g.program.end(Exit{Code: 3})
		_, end := g.exitOf(st)
		g.ack(end)
		<-g.Done()
		g.mu.Lock()
		defer g.mu.Unlock()
		for _, e := range g.events {
			if e.Source != "debug" || e.Subject != "ann" || e.Time.IsZero() {
				g.Errorf("an event without names: %+v", e)
			}
			switch e.Kind {
			case EventOutput:
				if e.Output != 5 {
					g.Errorf("%d bytes were handed to a client", e.Output)
				}
			case EventEnded:
				if e.Session != key || e.Key != "identity" || e.Remote != home ||
					e.Exit.Code != 3 || e.Input != 3 || e.Output != 5 {
					g.Errorf("ended: %+v", e)
				}
			}
		}
	})
}

// A notice that comes while Next is about to hand out the exit goes first.
func TestNothingFollowsTheExit(t *testing.T) {
	onStage(t, nil, func(g *stage) {
		st := g.attach(0)
		g.print("x")
		g.want(st, FrameStdout, 1, "x")
		g.Notify(Notice{Code: "killed"})
		st.due.Store(0) // as if it came after Next looked
		g.program.end(Exit{})
		<-g.Done()
		exit, ok, err := st.cursor.take(nil)
		if !ok || err != nil {
			g.Fatal(err)
		}
		st.exit = &exit
		st.raise(dueNotice)
		g.Notify(Notice{Code: "too late"})
		g.want(st, FrameNotice, 1, `{"code":"killed","text":""}`)
		g.want(st, FrameExit, 2, `{"code":0}`)
	})
}

func TestGoneIsToldOnce(t *testing.T) {
	told := 0
	onStage(t, func(cfg *SessionConfig, _ *fakeProgram) { cfg.OnGone = func() { told++ } }, func(g *stage) {
		g.program.end(Exit{})
		<-g.Done()
		g.ack(1)
		<-g.Gone()
	})
	if told != 1 {
		t.Errorf("told %d times", told)
	}
}
