package shell

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestControlIsTakenOnce(t *testing.T) {
	onStage(t, onTerminal, func(g *stage) {
		send := func(c ControlRequest) {
			g.Helper()
			if err := g.Control(g.Context(), key, c); err != nil {
				g.Error(err)
			}
		}
		g.print("abc")
		send(ControlRequest{Seq: 5, Resize: &Winsize{Cols: 80, Rows: 24, XPixel: 800}})
		send(ControlRequest{Seq: 5, Resize: &Winsize{Cols: 80, Rows: 24, XPixel: 800}})
		send(ControlRequest{Seq: 4, Resize: &Winsize{Cols: 1, Rows: 1}, Close: true, Ack: 2})
		send(ControlRequest{Seq: 6, Resize: &Winsize{}})
		if want := []Winsize{{Cols: 80, Rows: 24, XPixel: 800}, {}}; !slices.Equal(g.program.sizes, want) {
			g.Errorf("sizes %v, want %v", g.program.sizes, want)
		}
		if g.isHungUp() {
			g.Error("an old request was carried out")
		}
		if g.backlog.floor != 2 {
			g.Error("the ack of an old request did not count")
		}
		wantReason(g, g.Control(g.Context(), "stranger", ControlRequest{Seq: 7}), ReasonSessionOwner)
		wantReason(g, g.Control(g.Context(), key, ControlRequest{Seq: 7, Signal: &SignalRequest{Name: "SEGV"}}), ReasonBody)
		send(ControlRequest{Seq: 7, Close: true})
		st := g.attach(3)
		if e, _ := g.exitOf(st); e.Reason != "closed by its client" || e.Signal != "HUP" {
			g.Errorf("exit %+v", e)
		}
		send(ControlRequest{Seq: 8, Close: true})
	})
}

func TestControlDetach(t *testing.T) {
	onStage(t, nil, func(g *stage) {
		st := g.attach(0)
		if err := g.Control(g.Context(), key, ControlRequest{Seq: 1, Detach: true}); err != nil {
			g.Fatal(err)
		}
		g.wantEnd(st)
		later(59 * time.Second)
		if g.isHungUp() {
			g.Fatal("the session did not stay")
		}
		g.attach(0)
		later(20 * time.Second)
		if g.isHungUp() {
			g.Error("attached in time, and ended")
		}
	})
}

func TestSizesAtOnceTheLastWins(t *testing.T) {
	onStage(t, onTerminal, func(g *stage) {
		g.sizing.Lock() // the terminal is slow
		for seq := range uint64(10) {
			go func() {
				_ = g.Control(g.Context(), key, ControlRequest{Seq: seq + 1, Resize: &Winsize{Cols: uint16(seq)}})
			}()
			for { // a mutex is no durable wait: look until it was taken
				g.Session.mu.Lock()
				taken := g.seq == seq+1
				g.Session.mu.Unlock()
				if taken {
					break
				}
			}
		}
		g.sizing.Unlock()
		synctest.Wait()
		if got := g.program.sizes; len(got) != 10 || got[9].Cols != 9 {
			g.Errorf("sizes %v", got)
		}
	})
}
