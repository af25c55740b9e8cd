package shellhttp

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
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
func TestOpenCutAtManyBytes(t *testing.T) {
	b := newTestBroker(t, map[string]script{"say": sayScript(strings.Repeat("x", 2000), "", 0)})
	s := serve(t, b)
	p := proxied(t, s)
	opened := 0
	for limit := int64(400); limit < 6000; limit += 173 {
		p.limitTo(limit)
		c := s.client(t)
		session, err := openErr(c, "say", shell.OpenRequest{})
		p.limitTo(0)
		if err != nil {
			if !lost(err) {
				t.Errorf("limit %d: %v", limit, err)
			}
			continue
		}
		opened++
		for {
			o, err := readUntil(session)
			if err == nil {
				break
			}
			if !errors.Is(err, ErrCut) || len(o.out) > 2000 {
				t.Fatalf("limit %d: %d bytes, %v", limit, len(o.out), err)
			}
			if err := session.Resume(context.Background()); err != nil {
				t.Fatalf("limit %d: %v", limit, err)
			}
		}
		session.Close()
	}
	if opened == 0 {
		t.Error("no limit let a session through")
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

// Whoever answers must prove to hold the host key, for this very request.
func TestHostTokens(t *testing.T) {
	imposter, err := jwtauth.GeneratePrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		signer *jwtauth.PrivateKey
		typ    jwtauth.Type
		change func(*jwtauth.Claims)
	}{
		"another key":     {signer: imposter},
		"another client":  {change: func(c *jwtauth.Claims) { c.Audience = imposter.PublicKey().Thumbprint() }},
		"another session": {change: func(c *jwtauth.Claims) { c.SessionID = imposter.PublicKey().Thumbprint() }},
		"another request": {change: func(c *jwtauth.Claims) { c.OpenHash = jwtauth.TokenHash("x") }},
	} {
		t.Run(name, func(t *testing.T) {
			b := newTestBroker(t, map[string]script{"wait": waitScript})
			b.before = func(call *shell.Call) (*shell.Reply, error) {
				u, err := jwtauth.Parse(call.Token)
				if err != nil {
					return nil, err
				}
				asked, err := u.Verify(b.user.PublicKey())
				if err != nil {
					return nil, err
				}
				if _, err := io.Copy(io.Discard, call.Body); err != nil {
					return nil, err
				}
				id := asked.Claims.Session.Thumbprint()
				claims := jwtauth.Claims{IssuedAt: jwtauth.NumericDateOf(time.Now()), Audience: id, SessionID: id, OpenHash: asked.Hash()}
				if c.change != nil {
					c.change(&claims)
				}
				signer := b.host
				if c.signer != nil {
					signer = c.signer
				}
				token, err := jwtauth.Sign(context.Background(), signer, jwtauth.TypeHost, claims)
				if err != nil {
					return nil, err
				}
				data, err := json.Marshal(shell.SessionInfo{ID: id, Token: token})
				if err != nil {
					return nil, err
				}
				frame := shell.AppendFrame(nil, shell.Frame{Type: shell.FrameSession, Data: data})
				return &shell.Reply{Status: 200, Stream: io.NopCloser(bytes.NewReader(frame))}, nil
			}
			if _, err := openErr(serve(t, b).client(t), "wait", shell.OpenRequest{}); !errors.Is(err, ErrHost) {
				t.Errorf("got %v", err)
			}
			if n := b.seen(""); n != 1 {
				t.Errorf("%d calls: nothing is sent to an imposter", n)
			}
		})
	}
}

func TestPeersWithoutTheHostKeyGetNothing(t *testing.T) {
	b := newTestBroker(t, map[string]script{"wait": waitScript})
	other := newTestBroker(t, nil)
	c := serve(t, b).client(t, func(cfg *ClientConfig) { cfg.TLS = pinned(other.host.PublicKey()) })
	if _, err := openErr(c, "wait", shell.OpenRequest{}); err == nil || lost(err) && b.seen("") > 0 {
		t.Errorf("got %v, %d calls", err, b.seen(""))
	}
}

// rewrite changes the frames of every stream.
func rewrite(b *testBroker, change func(shell.Frame) []shell.Frame) {
	b.after = func(_ *shell.Call, reply *shell.Reply) *shell.Reply {
		if in := reply.Stream; in != nil {
			r, w := io.Pipe()
			reply.Stream = &joined{PipeReader: r, in: in}
			go func() {
				defer in.Close()
				for {
					f, err := shell.ReadFrame(in, make([]byte, 64<<10))
					if err != nil {
						w.CloseWithError(err)
						return
					}
					var out []byte
					for _, f := range change(f) {
						out = shell.AppendFrame(out, f)
					}
					if len(out) == 0 {
						continue
					}
					if _, err := w.Write(out); err != nil {
						return
					}
				}
			}()
		}
		return reply
	}
}

type joined struct {
	*io.PipeReader
	in io.Closer
}

func (j *joined) Close() error {
	j.in.Close()
	return j.PipeReader.Close()
}

func TestUnfaithfulStreams(t *testing.T) {
	one := func(f shell.Frame) []shell.Frame { return []shell.Frame{f} }
	for name, change := range map[string]func(shell.Frame) []shell.Frame{
		"missing": func(f shell.Frame) []shell.Frame { return nil },
		"doubled": func(f shell.Frame) []shell.Frame { return []shell.Frame{f, f} },
		"shorter": func(f shell.Frame) []shell.Frame { f.Data = f.Data[:len(f.Data)-1]; return one(f) },
		"longer":  func(f shell.Frame) []shell.Frame { f.Data = append(f.Data, 'x'); return one(f) },
		"moved":   func(f shell.Frame) []shell.Frame { f.End++; return one(f) },
		"gap":     func(f shell.Frame) []shell.Frame { return one(shell.Frame{Type: shell.FrameGap, End: f.End}) },
		"session": func(f shell.Frame) []shell.Frame {
			return one(shell.Frame{Type: shell.FrameSession, Data: []byte("{}")})
		},
	} {
		for encName, enc := range encodings {
			t.Run(name+" "+encName, func(t *testing.T) {
				b := newTestBroker(t, map[string]script{"say": sayScript("hello\n", "", 0)})
				rewrite(b, func(f shell.Frame) []shell.Frame {
					if f.Type == shell.FrameStdout {
						return change(f)
					}
					return one(f)
				})
				s := open(t, serve(t, b).client(t, func(cfg *ClientConfig) { cfg.Encoding = enc }), "say", shell.OpenRequest{})
				if o, err := readUntil(s); !errors.Is(err, ErrStream) {
					t.Errorf("got %q, %v", o.out, err)
				}
			})
		}
	}
}

func TestCutAndResume(t *testing.T) {
	b := newTestBroker(t, map[string]script{"cat": catScript})
	server := serve(t, b)
	p := proxied(t, server)
	s := open(t, server.client(t), "cat", shell.OpenRequest{})
	s.Write([]byte("one"))
	expect(t, s, "one")
	p.cut()
	ctx := context.Background()
	if _, err := s.Next(ctx); !errors.Is(err, ErrCut) {
		t.Fatalf("got %v", err)
	}
	s.Write([]byte("two"))
	s.CloseWrite()
	if err := s.Resume(ctx); err != nil {
		t.Fatal(err)
	}
	if o := readAll(t, s); string(o.out) != "two" {
		t.Errorf("got %q", o.out)
	}
	if err := s.Resume(ctx); !errors.Is(err, ErrEnded) {
		t.Errorf("resume after the end: %v", err)
	}
}

// The loop that the lossless issue will run: cuts at random moments, both
// ways, and every byte once.
func TestManyCutsLoseNothing(t *testing.T) {
	for name, enc := range encodings {
		t.Run(name, func(t *testing.T) {
			b := newTestBroker(t, map[string]script{"cat": catScript})
			server := serve(t, b)
			p := proxied(t, server)
			s := open(t, server.client(t, func(cfg *ClientConfig) { cfg.Encoding = enc }), "cat", shell.OpenRequest{})
			want := make([]byte, 6<<20)
			rand.NewChaCha8([32]byte{2}).Read(want)
			go func() {
				if _, err := s.Write(want); err != nil {
					t.Error(err)
				}
				s.CloseWrite()
			}()
			var got []byte
			cuts, next := 0, 100_000
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			for {
				f, err := s.Next(ctx)
				if err == io.EOF {
					break
				}
				if errors.Is(err, ErrCut) {
					cuts++
					for s.Resume(ctx) != nil && ctx.Err() == nil {
					}
					continue
				}
				if err != nil {
					t.Fatalf("after %d bytes and %d cuts: %v", len(got), cuts, err)
				}
				if f.Type == shell.FrameStdout {
					got = append(got, f.Data...)
				}
				s.Ack(f.End)
				if len(got) > next {
					next += 100_000 + rand.IntN(500_000)
					p.cut()
				}
			}
			if cuts < 5 || sha256.Sum256(got) != sha256.Sum256(want) {
				t.Errorf("%d cuts, %d bytes of %d", cuts, len(got), len(want))
			}
		})
	}
}

func TestSilence(t *testing.T) {
	b := newTestBroker(t, map[string]script{"wait": waitScript})
	c := serve(t, b).client(t)
	c.times.silence = 150 * time.Millisecond
	s := open(t, c, "wait", shell.OpenRequest{})
	if _, err := s.Next(context.Background()); !errors.Is(err, ErrSilent) {
		t.Errorf("got %v", err)
	}
	if err := s.Resume(context.Background()); err != nil {
		t.Error(err)
	}
}
