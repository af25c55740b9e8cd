package shellhttp

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"shellagent/shell"
)

func attach(t *testing.T, c *Client, id string) *Session {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	s, err := c.Attach(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// Who attaches sees what was shown, goes on typing, and survives cuts; who was
// there is told, and does not come back.
func TestAttachTakesOver(t *testing.T) {
	for name, enc := range encodings {
		t.Run(name, func(t *testing.T) {
			b := newTestBroker(t, map[string]script{"cat": catScript})
			server := serve(t, b)
			p := proxied(t, server)
			encoded := func(cfg *ClientConfig) { cfg.Encoding = enc }
			first := open(t, server.client(t, encoded), "cat", shell.OpenRequest{Terminal: terminal}).Lasting(nil)
			io.WriteString(first, "one")
			expect(t, first.Session, "one")
			first.Ack(3)

			id := first.Info().ID
			second := attach(t, server.client(t, encoded), id)
			if info := second.Info(); info.ID != id || info.From != 0 || info.Stdin != 3 {
				t.Errorf("info %+v", info)
			}
			expect(t, second, "one")
			o, err := lastingOutput(first, nil)
			var refusal *Problem
			if !errors.As(err, &refusal) || refusal.Code != "taken_over" {
				t.Errorf("the first: %+v, %v", o, err)
			}

			p.cut()
			io.WriteString(second, "two")
			second.CloseWrite()
			if o, err := lastingOutput(second.Lasting(nil), nil); err != nil || string(o.out) != "two" {
				t.Errorf("the second: %q, %v", o.out, err)
			}
		})
	}
}

func TestAttachWhoseAnswerIsLost(t *testing.T) {
	b := newTestBroker(t, map[string]script{"cat": catScript})
	server := serve(t, b)
	p := proxied(t, server)
	id := open(t, server.client(t), "cat", shell.OpenRequest{}).Info().ID
	var lost atomic.Bool
	b.after = func(call *shell.Call, reply *shell.Reply) *shell.Reply {
		if strings.HasSuffix(call.Target, "/attach") && lost.CompareAndSwap(false, true) {
			p.cut()
		}
		return reply
	}
	s := attach(t, server.client(t), id)
	io.WriteString(s, "x")
	s.CloseWrite()
	if o, err := lastingOutput(s.Lasting(nil), nil); err != nil || string(o.out) != "x" {
		t.Errorf("%q, %v", o.out, err)
	}
}

func TestAttachToNothing(t *testing.T) {
	b := newTestBroker(t, nil)
	c := serve(t, b).client(t)
	var p *Problem
	if _, err := c.Attach(t.Context(), strings.Repeat("x", 43)); !errors.As(err, &p) || p.Code != "session_not_found" {
		t.Errorf("got %v", err)
	}
	if _, err := c.Attach(t.Context(), "a/b"); err == nil || errors.As(err, &p) && b.seen("POST") != 1 {
		t.Errorf("got %v", err)
	}
}

// A program is told a size that it does not have, and then, once it had time to
// notice, the one that it has.
func TestRedraw(t *testing.T) {
	b := newTestBroker(t, map[string]script{"report": reportScript})
	s := open(t, serve(t, b).client(t), "report", shell.OpenRequest{Terminal: terminal})
	began := time.Now()
	s.Redraw(shell.Winsize{Cols: 100, Rows: 30})
	expect(t, s, "100x29\n100x30\n")
	if took := time.Since(began); took < redrawPause {
		t.Errorf("both within %v", took)
	}
	s.Redraw(shell.Winsize{Cols: 100, Rows: 1})
	expect(t, s, "100x2\n100x1\n")
}
