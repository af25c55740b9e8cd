package shell

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// stage is a session with a fake program and a log of its events.
type stage struct {
	*testing.T
	*Session
	program *fakeProgram

	mu     sync.Mutex
	events []Event
}

const key = "client-key"

var home = netip.MustParseAddr("192.0.2.1")

// onStage starts a session in a synctest bubble.
func onStage(t *testing.T, config func(*SessionConfig, *fakeProgram), play func(*stage)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		g := &stage{T: t, program: newFakeProgram()}
		cfg := SessionConfig{
			ID: key, Remote: home,
			Grant: Grant{Source: "debug", Subject: "ann", Key: "identity", Limits: Limits{Linger: time.Minute}},
			OnEvent: func(e Event) {
				g.mu.Lock()
				defer g.mu.Unlock()
				g.events = append(g.events, e)
			},
		}
		if config != nil {
			config(&cfg, g.program)
		}
		g.Session = NewSession(cfg, g.program)
		play(g)
		// Whatever a test leaves, hanging up must end everything.
		g.HangUp("the test is over")
		later(2 * time.Hour)
		select {
		case <-g.Gone():
		default:
			t.Error("the session is still there two hours after its end")
		}
	})
}

// later moves a synctest bubble's clock; no real time passes.
func later(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func onTerminal(cfg *SessionConfig, p *fakeProgram) {
	cfg.Request.Terminal = &Terminal{Term: "xterm"}
	p.err = pipe{}
}

func withLimits(l Limits) func(*SessionConfig, *fakeProgram) {
	return func(cfg *SessionConfig, _ *fakeProgram) { cfg.Grant.Limits = l }
}

func (g *stage) attach(from uint64) *Stream {
	g.Helper()
	st, err := g.Attach(key, home, from)
	if err != nil {
		g.Fatalf("Attach(%d): %v", from, err)
	}
	return st
}

// print lets the program write and waits until the session has it.
func (g *stage) print(s string) {
	g.Helper()
	if _, err := g.program.out.w.Write([]byte(s)); err != nil {
		g.Fatalf("the session does not read: %v", err)
	}
	synctest.Wait()
}

// want takes frames, keepalives aside, until the given one.
func (g *stage) want(st *Stream, typ FrameType, end uint64, data string) {
	g.Helper()
	f := g.next(st)
	if f.Type != typ || f.End != end || data != "*" && string(f.Data) != data {
		g.Fatalf("got %v to %d %.60q, want %v to %d %.60q", f.Type, f.End, f.Data, typ, end, data)
	}
}

func (g *stage) next(st *Stream) Frame {
	g.Helper()
	ctx, cancel := context.WithTimeout(g.Context(), time.Hour)
	defer cancel()
	for {
		f, err := st.Next(ctx, make([]byte, 32<<10))
		if err != nil {
			g.Fatalf("Next: %v", err)
		}
		if f.Type != FrameKeepalive {
			return f
		}
	}
}

// wantEnd checks that the stream ends, keepalives aside.
func (g *stage) wantEnd(st *Stream) {
	g.Helper()
	ctx, cancel := context.WithTimeout(g.Context(), time.Minute)
	defer cancel()
	for {
		f, err := st.Next(ctx, make([]byte, 32<<10))
		if err == io.EOF {
			return
		}
		if err != nil || f.Type != FrameKeepalive {
			g.Fatalf("got %v %q, %v; want the end", f.Type, f.Data, err)
		}
	}
}

// exitOf reads to the exit.
func (g *stage) exitOf(st *Stream) (e Exit, end uint64) {
	g.Helper()
	for {
		if f := g.next(st); f.Type == FrameExit {
			if err := json.Unmarshal(f.Data, &e); err != nil {
				g.Fatal(err)
			}
			return e, f.End
		}
	}
}

// typing sends input, which must be taken as a whole.
func (g *stage) typing(offset uint64, s string) {
	g.Helper()
	next, err := g.Stdin(g.Context(), key, Stdin{Offset: offset, Data: []byte(s)})
	if err != nil || next != offset+uint64(len(s)) {
		g.Fatalf("Stdin at %d: next %d, %v", offset, next, err)
	}
}

// reads lets the program read exactly n bytes.
func (g *stage) reads(n int) string {
	g.Helper()
	buf := make([]byte, n)
	if _, err := io.ReadFull(g.program.in.r, buf); err != nil {
		g.Fatalf("the program read: %v", err)
	}
	return string(buf)
}

func (g *stage) ack(offset uint64) {
	g.Helper()
	if _, err := g.Stdin(g.Context(), key, Stdin{Ack: offset}); err != nil {
		g.Fatalf("ack of %d: %v", offset, err)
	}
}

// kinds returns the events so far, those of the hot path aside.
func (g *stage) kinds() (kinds []EventKind) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, e := range g.events {
		if e.Kind != EventOutput {
			kinds = append(kinds, e.Kind)
		}
	}
	return kinds
}

func wantReason(t testing.TB, err error, want Reason) {
	t.Helper()
	var d *Denied
	if !errors.As(err, &d) || d.Reason != want {
		t.Errorf("got %v, want a refusal with %s", err, want)
	}
}
