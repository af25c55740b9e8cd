package shellhttp

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"shellagent/jwtauth"
	"shellagent/shell"
)

func openErr(c *Client, source string, req shell.OpenRequest) (*Session, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return c.Open(ctx, source, req)
}

func TestOpenWhoseAnswerIsLostRunsOnce(t *testing.T) {
	for name, enc := range encodings {
		t.Run(name, func(t *testing.T) {
			b := newTestBroker(t, map[string]script{"say": sayScript("once\n", "", 0)})
			s := serve(t, b)
			p := proxied(t, s)
			b.after = func(call *shell.Call, reply *shell.Reply) *shell.Reply {
				if call.Method == "POST" && strings.HasPrefix(call.Target, "/v1/shell/") {
					p.cut() // the program runs, and nobody hears of it
				}
				return reply
			}
			o := readAll(t, open(t, s.client(t, func(cfg *ClientConfig) { cfg.Encoding = enc }), "say", shell.OpenRequest{}))
			if string(o.out) != "once\n" || b.started.Load() != 1 {
				t.Errorf("%q after %d starts", o.out, b.started.Load())
			}
			if b.seen("POST /v1/shell/") != 1 || b.seen("GET /v1/sessions/") != 1 {
				t.Errorf("calls %q", b.calls)
			}
		})
	}
}

// Who does not wait for the answer leaves nothing behind, whether the program is
// started before the client goes or after that.
func TestOpenThatIsNotWaitedForIsHungUp(t *testing.T) {
	for name, late := range map[string]bool{"started": false, "starts later": true} {
		t.Run(name, func(t *testing.T) {
			b := newTestBroker(t, map[string]script{"wait": waitScript})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			asked := make(chan struct{})
			var once sync.Once
			hold := func(call *shell.Call) {
				if strings.HasPrefix(call.Target, "/v1/shell/") {
					cancel()
					<-asked
				}
			}
			// The hanging-up has come once, or is there already.
			b.before = func(call *shell.Call) (*shell.Reply, error) {
				if strings.HasSuffix(call.Target, "/control") {
					once.Do(func() { close(asked) })
				} else if late {
					hold(call)
				}
				return nil, nil
			}
			b.after = func(call *shell.Call, reply *shell.Reply) *shell.Reply {
				if !late {
					hold(call)
				}
				return reply
			}
			if _, err := serve(t, b).client(t).Open(ctx, "wait", shell.OpenRequest{}); !errors.Is(err, context.Canceled) {
				t.Errorf("opened: %v", err)
			}
			if !late && b.started.Load() != 1 {
				t.Error("nothing was started")
			}
			eventually(t, "nothing runs", func() bool {
				for _, s := range b.registry.List(nil) {
					select {
					case <-s.Done():
					default:
						return false
					}
				}
				return true
			})
		})
	}
}

func TestOpenThatNeverArrivedIsSentAgain(t *testing.T) {
	b := newTestBroker(t, map[string]script{"say": sayScript("once\n", "", 0)})
	s := serve(t, b)
	p := proxied(t, s)
	var cuts atomic.Int32
	b.before = func(call *shell.Call) (*shell.Reply, error) {
		if strings.HasPrefix(call.Target, "/v1/shell/") && cuts.Add(1) < 3 {
			p.cut()
			return nil, errors.New("the broker is restarting")
		}
		return nil, nil
	}
	o := readAll(t, open(t, s.client(t), "say", shell.OpenRequest{}))
	if string(o.out) != "once\n" || b.started.Load() != 1 || b.seen("POST /v1/shell/") != 3 {
		t.Errorf("%q after %d starts, calls %q", o.out, b.started.Load(), b.calls)
	}
}

// The answer's bytes stop anywhere: in the handshake, the head, the first event.
// Each limit has a server of its own, and all go at once: they mostly wait, and
// t.Parallel runs no more of them than there are processors.
func TestOpenCutAtManyBytes(t *testing.T) {
	var opened atomic.Int32
	var all sync.WaitGroup
	for limit := int64(400); limit < 6000; limit += 173 {
		s := serve(t, newTestBroker(t, map[string]script{"say": sayScript(strings.Repeat("x", 2000), "", 0)}))
		p := proxied(t, s)
		p.limitTo(limit)
		c := s.client(t)
		all.Go(func() {
			through, err := openCut(c, p)
			if err != nil {
				t.Errorf("limit %d: %v", limit, err)
			}
			if through {
				opened.Add(1)
			}
		})
	}
	all.Wait()
	if opened.Load() == 0 {
		t.Error("no limit let a session through")
	}
}

// openCut opens a session over connections that break, and reads it, when it was
// opened, over better ones.
func openCut(c *Client, p *cutProxy) (opened bool, err error) {
	session, err := openErr(c, "say", shell.OpenRequest{})
	p.limitTo(0)
	if err != nil {
		if lost(err) {
			err = nil
		}
		return false, err
	}
	defer session.Close()
	for {
		o, err := readUntil(session)
		if err == nil {
			return true, nil
		}
		if !errors.Is(err, ErrCut) || len(o.out) > 2000 {
			return true, fmt.Errorf("%d bytes, %w", len(o.out), err)
		}
		if err := session.Resume(context.Background()); err != nil {
			return true, err
		}
	}
}

// Lists and kills are asked for again when their connection breaks; a POST is not.
func TestQuestionsWhoseAnswerIsLost(t *testing.T) {
	b := newTestBroker(t, map[string]script{"wait": waitScript})
	server := serve(t, b)
	p := proxied(t, server)
	c := server.client(t)
	s := open(t, c, "wait", shell.OpenRequest{})
	b.after = func(call *shell.Call, reply *shell.Reply) *shell.Reply {
		if !strings.HasSuffix(call.Target, "/control") && b.seen(call.Method+" "+call.Target) < 3 {
			p.cut()
		}
		return reply
	}
	if list, err := c.Sessions(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("%d sessions, %v", len(list), err)
	}
	if err := c.Kill(t.Context(), s.Info().ID); err != nil {
		t.Error(err)
	}
	if err := c.Confirm(t.Context(), "wait"); err == nil || b.seen("POST /v1/confirm") != 1 {
		t.Errorf("confirmed %d times, %v", b.seen("POST /v1/confirm"), err)
	}
}

func TestWrongClocks(t *testing.T) {
	for _, skew := range []time.Duration{-time.Hour, 36 * time.Hour} {
		b := newTestBroker(t, map[string]script{"cat": catScript})
		b.skew = skew
		b.useClock()
		var stale atomic.Int32
		b.after = func(_ *shell.Call, reply *shell.Reply) *shell.Reply {
			if reply.Code == "stale" {
				stale.Add(1)
			}
			return reply
		}
		s := open(t, serve(t, b).client(t), "cat", shell.OpenRequest{})
		s.Write([]byte("hello\n"))
		s.CloseWrite()
		if o := readAll(t, s); string(o.out) != "hello\n" {
			t.Errorf("got %q", o.out)
		}
		if n := stale.Load(); n != 1 {
			t.Errorf("skew %v: %d tokens were stale, want the identity token alone", skew, n)
		}
	}
}

func TestANonceIsTriedOnce(t *testing.T) {
	b := newTestBroker(t, nil)
	b.before = func(*shell.Call) (*shell.Reply, error) {
		reply := problemOf(shell.Deny(shell.ReasonStale, nil))
		reply.Nonce = "again"
		return reply, nil
	}
	_, err := serve(t, b).client(t).Sessions(context.Background())
	var p *Problem
	if !errors.As(err, &p) || p.Code != "stale" || b.seen("GET") != 2 {
		t.Errorf("%v after %d calls", err, b.seen("GET"))
	}
}

func TestABusyAgentIsAskedAgain(t *testing.T) {
	b := newTestBroker(t, map[string]script{"say": sayScript("hello\n", "", 0)})
	b.before = func(call *shell.Call) (*shell.Reply, error) {
		if strings.HasPrefix(call.Target, "/v1/shell/") && b.seen("POST /v1/shell/") < 3 {
			return problemOf(shell.Deny(shell.ReasonReplayFull, nil)), nil
		}
		return nil, nil
	}
	if o := readAll(t, open(t, serve(t, b).client(t), "say", shell.OpenRequest{})); string(o.out) != "hello\n" {
		t.Errorf("got %q", o.out)
	}
}

func TestRefusalsReachTheCaller(t *testing.T) {
	b := newTestBroker(t, nil)
	_, err := openErr(serve(t, b).client(t), "nothing", shell.OpenRequest{})
	var p *Problem
	if !errors.As(err, &p) || p.Code != "unauthorized" || p.Status != 401 {
		t.Errorf("got %v", err)
	}
	other, err := jwtauth.GeneratePrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	c := serve(t, b).client(t, func(cfg *ClientConfig) { cfg.Signer = other })
	if _, err := openErr(c, "nothing", shell.OpenRequest{}); !errors.As(err, &p) || p.Code != "unauthorized" {
		t.Errorf("got %v", err)
	}
	if n := b.seen("POST /v1/shell"); n != 2 {
		t.Errorf("%d opens: a refusal is not tried again", n)
	}
	for _, bad := range []string{"", "..", "a/b", "a%2fb", "a b"} {
		if _, err := openErr(c, bad, shell.OpenRequest{}); err == nil || b.seen("POST") > 2 {
			t.Errorf("source %q: %v", bad, err)
		}
	}
}

// Somebody sets the host's clock while a session is open.
func TestAClockThatIsSetUnderASession(t *testing.T) {
	for _, leap := range []time.Duration{-time.Hour, 36 * time.Hour} {
		b := newTestBroker(t, map[string]script{"cat": catScript})
		s := open(t, serve(t, b).client(t), "cat", shell.OpenRequest{})
		s.Write([]byte("before "))
		f, err := s.Next(t.Context())
		for err == nil && f.Type != shell.FrameStdout {
			f, err = s.Next(t.Context())
		}
		if err != nil || string(f.Data) != "before " {
			t.Fatalf("%q, %v", f.Data, err)
		}
		s.Ack(f.End)
		b.leap.Store(int64(leap))
		s.Write([]byte("and after"))
		s.CloseWrite()
		if o := readAll(t, s); string(o.out) != "and after" {
			t.Errorf("set by %v: got %q", leap, o.out)
		}
	}
}
