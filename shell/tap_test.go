package shell

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func tapped(o TapOptions, backlog int) func(*SessionConfig, *fakeProgram) {
	return func(cfg *SessionConfig, p *fakeProgram) {
		onTerminal(cfg, p)
		cfg.Tap, cfg.Backlog = &o, backlog
	}
}

// drained is what a tap gives until it has nothing or ends.
func drained(t *testing.T, tap *Tap) (all []string) {
	t.Helper()
	buf := make([]byte, 1<<10)
	for {
		e, ok, err := tap.Take(buf)
		if !ok {
			if err != nil {
				all = append(all, err.Error())
			}
			return all
		}
		switch e.Kind {
		case TapOutput:
			all = append(all, string(e.Frame.Data))
		case TapResize:
			all = append(all, fmt.Sprint(e.Size.Cols, "x", e.Size.Rows))
		case TapInput, TapTyped:
			all = append(all, fmt.Sprintf("%d:%s", e.Kind, e.Data))
		case TapGap, TapExit, TapLost:
			all = append(all, fmt.Sprint("kind ", e.Kind))
		}
	}
}

func (g *stage) sees(tap *Tap, want ...string) {
	g.Helper()
	if got := drained(g.T, tap); fmt.Sprint(got) != fmt.Sprint(want) {
		g.Errorf("the tap gives %q instead of %q", got, want)
	}
}

func TestTapGivesAllInOrder(t *testing.T) {
	onStage(t, tapped(TapOptions{Hold: true}, 0), func(g *stage) {
		st := g.attach(0)
		defer st.Close()
		g.print("before")
		size := Winsize{Cols: 90, Rows: 20}
		if err := g.Control(g.Context(), key, ControlRequest{Seq: 1, Resize: &size}); err != nil {
			g.Fatal(err)
		}
		g.print("after")
		g.sees(g.Tap(), "before", "90x20", "after")
		select {
		case <-g.Tap().Wake(): // of what was there
		default:
		}
		g.print("more")
		select {
		case <-g.Tap().Wake():
			g.Error("the tap is woken for every key")
		default:
		}
		later(tapTime)
		select {
		case <-g.Tap().Wake():
		default:
			g.Error("the tap is not told of more")
		}
		g.program.end(Exit{})
		later(time.Second)
		g.sees(g.Tap(), "more", "kind 3", "EOF")
		g.Tap().Close()
		g.sees(g.Tap(), io.ErrClosedPipe.Error())
	})
}

// A tap that stands still, as its disk does, holds the program up as a slow client
// would. It does not keep the session from its end, nor the client from hearing
// of it, and finds everything when it moves again.
func TestTapThatStandsStill(t *testing.T) {
	onStage(t, tapped(TapOptions{Hold: true}, 4<<10), func(g *stage) {
		st := g.attach(0)
		defer st.Close()
		text := strings.Repeat("0123456789", 2000)
		go func() { _, _ = g.program.out.w.Write([]byte(text)) }()
		buf, end := make([]byte, 32<<10), uint64(0)
		for range 10 {
			synctest.Wait()
			for end < g.backlog.End() {
				f, err := st.Next(g.Context(), buf)
				if err != nil {
					g.Fatal(err)
				}
				end = f.End
			}
			g.ack(end)
		}
		if end > 8<<10 {
			g.Errorf("%d bytes came past a tap that read none", end)
		}
		g.HangUp("somebody had enough")
		later(10 * time.Second)
		for {
			f, err := st.Next(g.Context(), buf)
			if err != nil {
				g.Fatalf("the client does not hear of the end: %v", err)
			}
			if end = f.End; f.Type == FrameExit {
				break
			}
		}
		g.ack(end)
		synctest.Wait()
		select {
		case <-g.Gone():
		default:
			g.Error("the session is not gone")
		}
		all := drained(g.T, g.Tap())
		shown := strings.Join(all[:max(0, len(all)-2)], "")
		if !strings.HasPrefix(text, shown) || uint64(len(shown)) != end-1 || all[len(all)-2] != "kind 3" {
			g.Errorf("the tap finds %d bytes and %q", len(shown), all[len(all)-2:])
		}
		g.Tap().Close()
	})
}

func TestTapThatMayMissSomething(t *testing.T) {
	onStage(t, tapped(TapOptions{}, 4<<10), func(g *stage) {
		st := g.attach(0)
		defer st.Close()
		for range 200 {
			g.print(strings.Repeat("x", 4000))
			buf := make([]byte, 32<<10)
			for {
				f, ok, err := st.cursor.take(buf)
				if err != nil {
					g.Fatal(err)
				}
				if !ok {
					break
				}
				g.ack(f.End)
			}
		}
		if got := drained(g.T, g.Tap()); len(got) == 0 || got[0] != "kind 2" {
			g.Errorf("the tap gives %.40q first", got)
		}
		g.Tap().Close()
	})
}

func TestTapIsToldWhatTheTerminalShows(t *testing.T) {
	onStage(t, tapped(TapOptions{Hold: true, Input: true}, 0), func(g *stage) {
		st := g.attach(0)
		defer st.Close()
		go func() { _, _ = io.Copy(io.Discard, g.program.in.r) }()
		offset := uint64(0)
		for echo, text := range map[Echo]string{EchoNone: "secret\r", EchoByTerminal: "one\rtwo\rthree", EchoByProgram: "ls\r"} {
			g.program.mu.Lock()
			g.program.echo = echo
			g.program.mu.Unlock()
			next, err := g.Stdin(g.Context(), key, Stdin{Offset: offset, Data: []byte(text)})
			if err != nil {
				g.Fatal(err)
			}
			offset = next
			synctest.Wait()
			want := map[Echo][]string{EchoNone: {}, EchoByTerminal: {"5:one\r", "5:two\r", "5:three"}, EchoByProgram: {"6:ls\r"}}
			g.sees(g.Tap(), want[echo]...)
		}
		g.Tap().Close()
	})
}

// Input waits for a tap that must have it all, for as long as the session lives.
func TestTapBoundsWhatWaitsForIt(t *testing.T) {
	for _, hold := range []bool{true, false} {
		onStage(t, tapped(TapOptions{Hold: hold, Input: true}, 0), func(g *stage) {
			tap := g.Tap()
			added := make(chan int, 1)
			go func() {
				n := 0
				for range 3 * maxTapped >> 10 {
					select {
					case <-g.hung:
					default:
						tap.add(TapEvent{Kind: TapInput, Data: bytes.Repeat([]byte("x"), 1<<10)}, g.hung)
						n++
					}
				}
				added <- n
			}()
			synctest.Wait()
			tap.mu.Lock()
			held := tap.bytes
			tap.mu.Unlock()
			if held > maxTapped {
				g.Errorf("%d bytes wait", held)
			}
			got := drained(g.T, tap)
			if lost := got[len(got)-1] == "kind 7"; lost == hold {
				g.Errorf("hold %v: the last is %.20q", hold, got[len(got)-1])
			}
			g.HangUp("")
			<-added
			tap.Close()
		})
	}
}
