package shellhttp

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"shellagent/shell"
)

var encodings = map[string]Encoding{"sse": SSE, "frames": Frames}

func TestSessionOutputAndExit(t *testing.T) {
	for name, enc := range encodings {
		t.Run(name, func(t *testing.T) {
			b := newTestBroker(t, map[string]script{"say": sayScript("out\x00\xff\n", "err\n", 7)})
			c := serve(t, b).client(t, func(cfg *ClientConfig) { cfg.Encoding = enc })
			s := open(t, c, "say", shell.OpenRequest{Argv: []string{"say"}})
			if info := s.Info(); info.User != "tester" || info.Host != "here" || info.Terminal {
				t.Errorf("info %+v", info)
			}
			o := readAll(t, s)
			if string(o.out) != "out\x00\xff\n" || string(o.err) != "err\n" || !strings.Contains(string(o.exit.Data), `"code":7`) {
				t.Errorf("got %q, %q, %s", o.out, o.err, o.exit.Data)
			}
			if _, err := s.Next(context.Background()); err != io.EOF {
				t.Errorf("after the exit: %v", err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			if n := len(b.registry.List(nil)); n != 0 {
				t.Errorf("%d sessions left after the exit was acknowledged", n)
			}
		})
	}
}

func TestBulkThroughBothWays(t *testing.T) {
	for name, enc := range encodings {
		t.Run(name, func(t *testing.T) {
			b := newTestBroker(t, map[string]script{"cat": catScript})
			c := serve(t, b).client(t, func(cfg *ClientConfig) { cfg.Encoding = enc })
			s := open(t, c, "cat", shell.OpenRequest{})
			want := make([]byte, 12<<20)
			rand.NewChaCha8([32]byte{1}).Read(want)
			go func() {
				for rest := want; len(rest) > 0; {
					n := min(len(rest), 1+rand.IntN(100_000))
					if _, err := s.Write(rest[:n]); err != nil {
						t.Error(err)
						return
					}
					rest = rest[n:]
				}
				if err := s.CloseWrite(); err != nil {
					t.Error(err)
				}
			}()
			o := readAll(t, s)
			if sha256.Sum256(o.out) != sha256.Sum256(want) {
				t.Errorf("%d bytes came back, differing from the %d sent", len(o.out), len(want))
			}
		})
	}
}

func TestTerminalResizeAndSignals(t *testing.T) {
	b := newTestBroker(t, map[string]script{"report": reportScript})
	s := open(t, serve(t, b).client(t), "report", shell.OpenRequest{Terminal: &shell.Terminal{Term: "xterm", Winsize: shell.Winsize{Cols: 80, Rows: 24}}})
	if !s.Info().Terminal {
		t.Error("no terminal")
	}
	s.Resize(shell.Winsize{Cols: 100, Rows: 30})
	expect(t, s, "100x30\n")
	if err := s.Signal("INT"); err != nil {
		t.Fatal(err)
	}
	if err := s.Signal("TERM"); err != nil {
		t.Fatal(err)
	}
	if o := readAll(t, s); string(o.out) != "INT\nTERM\n" {
		t.Errorf("got %q", o.out)
	}
}

// expect reads exactly this output.
func expect(t *testing.T, s *Session, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var got []byte
	for len(got) < len(want) {
		f, err := s.Next(ctx)
		if err != nil {
			t.Fatalf("after %q: %v", got, err)
		}
		if f.Type == shell.FrameStdout {
			got = append(got, f.Data...)
		}
	}
	if string(got) != want {
		t.Fatalf("got %q, want %q", got, want)
	}
}

func TestTypingIsCoalescedAndInOrder(t *testing.T) {
	b := newTestBroker(t, map[string]script{"cat": catScript})
	s := open(t, serve(t, b).client(t), "cat", shell.OpenRequest{Terminal: &shell.Terminal{Term: "x", Winsize: shell.Winsize{Cols: 80, Rows: 24}}})
	var want bytes.Buffer
	for i := range 3000 {
		key := []byte{byte('a' + i%26)}
		want.Write(key)
		if _, err := s.Write(key); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if o := readAll(t, s); string(o.out) != want.String() {
		t.Errorf("got %d bytes in another order", len(o.out))
	}
	if n := b.seen("POST /v1/sessions/"); n >= 3000 {
		t.Errorf("%d requests for 3000 keys", n)
	}
}

func TestCloseHangsUp(t *testing.T) {
	b := newTestBroker(t, map[string]script{"wait": waitScript})
	s := open(t, serve(t, b).client(t), "wait", shell.OpenRequest{})
	core := b.registry.ByID(s.Info().ID)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	<-core.Done()
	if e := core.Summary().Exit; e == nil || e.Reason == "" {
		t.Errorf("exit %+v", e)
	}
	if _, err := s.Write([]byte("x")); !errors.Is(err, ErrEnded) {
		t.Errorf("write after close: %v", err)
	}
	if _, err := s.Next(context.Background()); !errors.Is(err, ErrEnded) {
		t.Errorf("next after close: %v", err)
	}
}

func TestDetachLeavesTheSession(t *testing.T) {
	b := newTestBroker(t, map[string]script{"wait": waitScript})
	s := open(t, serve(t, b).client(t), "wait", shell.OpenRequest{})
	if err := s.Detach(); err != nil {
		t.Fatal(err)
	}
	core := b.registry.ByID(s.Info().ID)
	eventually(t, "detached", func() bool { return !core.Attached() })
	if sum := core.Summary(); sum.Ended {
		t.Errorf("%+v", sum)
	}
}

func TestNextEndsWithItsContext(t *testing.T) {
	b := newTestBroker(t, map[string]script{"wait": waitScript})
	s := open(t, serve(t, b).client(t), "wait", shell.OpenRequest{})
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := s.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestListKillAndAgent(t *testing.T) {
	b := newTestBroker(t, map[string]script{"wait": waitScript})
	c := serve(t, b).client(t)
	s := open(t, c, "wait", shell.OpenRequest{})
	ctx := context.Background()
	list, err := c.Sessions(ctx)
	if err != nil || len(list) != 1 || list[0].ID != s.Info().ID {
		t.Fatalf("%+v, %v", list, err)
	}
	if err := c.Kill(ctx, list[0].ID); err != nil {
		t.Fatal(err)
	}
	if o := readAll(t, s); !strings.Contains(string(o.exit.Data), "killed by its owner") {
		t.Errorf("exit %s", o.exit.Data)
	}
	var p *Problem
	if err := c.Kill(ctx, strings.Repeat("x", 43)); !errors.As(err, &p) || p.Code != "session_not_found" {
		t.Errorf("kill of nothing: %v", err)
	}
	info, err := c.Agent(ctx)
	if err != nil || info.Agent != "shellagent/test" {
		t.Errorf("%+v, %v", info, err)
	}
}
