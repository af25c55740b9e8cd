package shell

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func (g *stage) watch() *Watcher {
	g.Helper()
	w, err := g.Watch(home)
	if err != nil {
		g.Fatal(err)
	}
	return w
}

func TestWatchersSeeAndAreSeen(t *testing.T) {
	onStage(t, nil, func(g *stage) {
		st := g.attach(0)
		g.print("before")
		g.want(st, FrameStdout, 6, "before")
		g.ack(6)
		w := g.watch()
		var n Notice
		if f := g.next(st); f.Type != FrameNotice || json.Unmarshal(f.Data, &n) != nil || n.Code != "watched" || !strings.Contains(n.Text, home.String()) {
			g.Errorf("the client is told %v, %+v", f.Type, n)
		}
		buf := make([]byte, 1<<10)
		if f, err := w.Next(g.Context(), buf); err != nil || f.End != 6 || string(f.Data) != "before" || w.From() != 0 {
			g.Errorf("the watcher sees %+v, %v", f, err)
		}
		began := time.Now()
		if f, err := w.Next(g.Context(), buf); err != nil || f.Type != FrameKeepalive || time.Since(began) > 10*time.Second {
			g.Errorf("the watcher hears %v, %v after %v", f.Type, err, time.Since(began))
		}
		w.Close()
		w.Close()
		if f := g.next(st); f.Type != FrameNotice || !strings.Contains(string(f.Data), "nobody") {
			g.Errorf("the client is told %v, %s", f.Type, f.Data)
		}
		if _, err := w.Next(g.Context(), buf); err != io.EOF {
			g.Errorf("after the end: %v", err)
		}
	})
}

// Where the source says so nobody is told, not even of one who was looking on
// before that was so.
func TestQuietWatchersAreNotTold(t *testing.T) {
	onStage(t, func(cfg *SessionConfig, _ *fakeProgram) { cfg.Grant.WatchQuietly = true }, func(g *stage) {
		st := g.attach(0)
		w := g.watch()
		g.print("seen")
		g.want(st, FrameStdout, 4, "seen")
		grant := g.Grant()
		grant.WatchQuietly = false
		g.Regrant(grant)
		w.Close()
		g.print("alone")
		g.want(st, FrameStdout, 9, "alone")
	})
}

// Nobody waits for a watcher, and what it missed it is told.
func TestASlowWatcherGetsAGap(t *testing.T) {
	onStage(t, func(cfg *SessionConfig, _ *fakeProgram) { cfg.Backlog = 64 << 10 }, func(g *stage) {
		st := g.attach(0)
		w := g.watch()
		g.next(st) // the notice
		line := bytes.Repeat([]byte("x"), 16<<10)
		var end uint64
		for range 100 {
			g.print(string(line))
			for end += uint64(len(line)); g.next(st).End < end; {
			}
			g.ack(end)
		}
		buf := make([]byte, 64<<10)
		f, err := w.Next(g.Context(), buf)
		if err != nil || f.Type != FrameGap || f.End == 0 || f.End >= end {
			g.Fatalf("the watcher gets %v at %d, %v", f.Type, f.End, err)
		}
		for at := f.End; at < end; at = f.End {
			if f, err = w.Next(g.Context(), buf); err != nil || f.Type != FrameStdout || f.End != at+uint64(len(f.Data)) {
				g.Fatalf("after the gap: %v at %d, %v", f.Type, f.End, err)
			}
		}
		g.program.end(Exit{Code: 3})
		<-g.Done()
		if f, err := w.Next(g.Context(), buf); err != nil || f.Type != FrameExit {
			g.Errorf("the end: %v, %v", f.Type, err)
		}
		if _, err := w.Next(g.Context(), buf); err != io.EOF {
			g.Errorf("after the exit: %v", err)
		}
	})
}

// A watcher whose connection was lost goes on where it was, or is told what it missed.
func TestAWatcherGoesOn(t *testing.T) {
	onStage(t, func(cfg *SessionConfig, _ *fakeProgram) { cfg.Backlog = 64 << 10 }, func(g *stage) {
		st := g.attach(0)
		g.print("before")
		g.want(st, FrameStdout, 6, "before")
		buf := make([]byte, 64<<10)
		w, err := g.WatchFrom(home, 3)
		if err != nil {
			g.Fatal(err)
		}
		if f, err := w.Next(g.Context(), buf); err != nil || f.End != 6 || string(f.Data) != "ore" || w.From() != 3 {
			g.Errorf("the watcher sees %+v, %v", f, err)
		}
		w.Close()
		_, err = g.WatchFrom(home, 7)
		wantReason(g, err, ReasonOutput)

		line := bytes.Repeat([]byte("x"), 16<<10)
		for range 100 {
			g.print(string(line))
			end := g.backlog.End()
			for g.next(st).End < end {
			}
			g.ack(end)
		}
		if w, err = g.WatchFrom(home, 6); err != nil {
			g.Fatal(err)
		}
		defer w.Close()
		if f, err := w.Next(g.Context(), buf); err != nil || f.Type != FrameGap || f.End <= 6 || w.From() != 6 {
			g.Errorf("after what was freed the watcher gets %v at %d, %v", f.Type, f.End, err)
		}
	})
}

// A watcher is no client: the session ends as if nobody were there.
func TestWatchersKeepNothingAlive(t *testing.T) {
	onStage(t, withLimits(Limits{Linger: 5 * time.Second}), func(g *stage) {
		st := g.attach(0)
		w := g.watch()
		defer w.Close()
		st.Close()
		later(6 * time.Second)
		<-g.Done()
		later(2 * retention)
		<-g.Gone()
		synctest.Wait()
		_, err := g.Watch(home)
		wantReason(g, err, ReasonSessionUnknown)
	})
}

func TestWatchersAreBounded(t *testing.T) {
	onStage(t, nil, func(g *stage) {
		var all []*Watcher
		for range maxWatchers {
			all = append(all, g.watch())
		}
		_, err := g.Watch(home)
		wantReason(g, err, ReasonMaxSessions)
		var denied *Denied
		if !errors.As(err, &denied) || denied.Public == "" {
			g.Errorf("refused with %+v", denied)
		}
		for _, w := range all {
			w.Close()
		}
		g.watch().Close()
	})
}
