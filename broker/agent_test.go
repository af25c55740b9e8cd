package broker

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"shellagent/account"
	"shellagent/jwtauth"
	"shellagent/shell"
	"shellagent/sources"
)

// testAgent is a broker with real policy and programs in memory. A test is its
// front.
type testAgent struct {
	*Broker
	t     *testing.T
	host  *jwtauth.PrivateKey
	log   *lockedBuffer
	ahead atomic.Int64 // of the real clock

	mu      sync.Mutex
	started []*memoryProgram
}

// now is a clock that a test may set forwards and back.
func (a *testAgent) now() time.Time { return time.Now().Add(time.Duration(a.ahead.Load())) }

// people are the host's users: one, who runs the agent.
type people struct{}

var me = &account.User{Name: "me", UID: 1000, GID: 1000, Home: "/", Shell: "/bin/sh"}

func (people) Self(context.Context) (*account.User, error)           { return me, nil }
func (people) Lookup(context.Context, string) (*account.User, error) { return me, nil }
func (people) LookupGroup(context.Context, string) (account.Group, error) {
	return account.Group{Name: "me", GID: 1000}, nil
}
func (people) Groups(context.Context, string, uint32) ([]uint32, error) { return []uint32{1000}, nil }
func (people) Status(context.Context, string) (account.State, error)    { return account.State{}, nil }
func (people) Shells() ([]string, error)                                { return []string{"/bin/sh"}, nil }

func newTestPolicy(t *testing.T, c sources.Config) *sources.Policy {
	t.Helper()
	p, err := sources.New(c, sources.Options{Accounts: people{}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func newTestAgent(t *testing.T, c sources.Config) *testAgent {
	t.Helper()
	a := &testAgent{t: t, host: newTestKey(t), log: new(lockedBuffer)}
	guard, err := jwtauth.NewGuard(jwtauth.GuardConfig{StateDir: t.TempDir(), Now: a.now})
	if err != nil {
		t.Fatal(err)
	}
	a.Broker, err = New(Config{
		HostKey: a.host, Guard: guard, Registry: shell.NewRegistry(0), Policy: newTestPolicy(t, c),
		Start: a.start, Host: "test", Log: slog.New(slog.NewTextHandler(a.log, nil)), Now: a.now,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := a.Stop(ctx); err != nil {
			t.Errorf("the sessions did not end: %v", err)
		}
		if t.Failed() {
			t.Log(a.log.String())
		}
	})
	return a
}

func (a *testAgent) start(context.Context, shell.Grant, shell.OpenRequest, netip.AddrPort) (shell.Program, error) {
	p := newMemoryProgram()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.started = append(a.started, p)
	return p, nil
}

// programs are those that were started.
func (a *testAgent) programs() []*memoryProgram {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]*memoryProgram(nil), a.started...)
}

// memoryProgram keeps what is typed and says what a test lets it say.
type memoryProgram struct {
	out   *io.PipeReader
	say   *io.PipeWriter
	ended chan struct{}
	end   func()

	mu    sync.Mutex
	typed bytes.Buffer
}

var _ shell.Program = (*memoryProgram)(nil)

func newMemoryProgram() *memoryProgram {
	p := &memoryProgram{ended: make(chan struct{})}
	p.out, p.say = io.Pipe()
	p.end = sync.OnceFunc(func() { close(p.ended); p.say.Close() })
	return p
}

// Write is the program's standard input.
func (p *memoryProgram) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.typed.Write(b)
}

func (p *memoryProgram) read() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.typed.String()
}

type memoryInput struct{ io.Writer }

func (memoryInput) Close() error { return nil }

func (p *memoryProgram) Stdin() io.WriteCloser { return memoryInput{p} }
func (p *memoryProgram) Output(t shell.FrameType) io.Reader {
	if t == shell.FrameStdout {
		return p.out
	}
	return nil
}
func (p *memoryProgram) Resize(shell.Winsize) error { return nil }
func (p *memoryProgram) Signal(string) error        { return nil }
func (p *memoryProgram) Wait() shell.Exit           { <-p.ended; return shell.Exit{Code: 129, Signal: "HUP"} }
func (p *memoryProgram) HangUp(time.Duration)       { p.end() }
func (p *memoryProgram) Close()                     { p.out.Close() }

func newTestKey(t testing.TB) *jwtauth.PrivateKey {
	t.Helper()
	k, err := jwtauth.GeneratePrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// listed is an entry for a key.
func listed(k *jwtauth.PrivateKey) sources.KeyEntry {
	return sources.KeyEntry{Keys: []string{k.PublicKey().AuthorizedKey("")}}
}

// oneSource is a configuration in which these keys open "debug".
func oneSource(keys ...*jwtauth.PrivateKey) sources.Config {
	c := sources.Config{Sources: map[string]sources.Source{"debug": {}}}
	for _, k := range keys {
		c.VerifyKeys = append(c.VerifyKeys, listed(k))
	}
	return c
}

// wantCode hands a call to the broker and looks at the code of its answer.
func (a *testAgent) wantCode(what string, c *shell.Call, code string) *shell.Reply {
	a.t.Helper()
	r := a.Handle(a.t.Context(), c)
	if r.Code != code {
		a.t.Errorf("%s: %d %q, want %q", what, r.Status, r.Code, code)
	}
	return r
}

// raw is a connection of the front to this broker.
func (a *testAgent) raw() (front *net.UnixConn, served <-chan error) {
	return rawConn(a.t, guarded{a.Broker, slog.New(slog.DiscardHandler)})
}

// call makes a call without a token.
func call(method, target string, body []byte) *shell.Call {
	return &shell.Call{
		Method: method, Target: target, Size: len(body), Body: bytes.NewReader(body),
		Remote: netip.AddrPortFrom(operator, 4242),
	}
}

// sign puts a good identity token into a call and returns it.
func (a *testAgent) sign(c *shell.Call, body []byte, key *jwtauth.PrivateKey, session jwtauth.PublicKey) *shell.Call {
	a.t.Helper()
	return a.signed(c, key, jwtauth.TypeIdentity, jwtauth.Claims{
		IssuedAt: jwtauth.NumericDateOf(a.now()), ID: jwtauth.NewID(), Session: session,
		Audience: a.host.PublicKey().Thumbprint(), RequestHash: jwtauth.RequestHash(c.Method, c.Target, body),
	})
}

func (a *testAgent) signed(c *shell.Call, key *jwtauth.PrivateKey, typ jwtauth.Type, claims jwtauth.Claims) *shell.Call {
	a.t.Helper()
	token, err := jwtauth.Sign(context.Background(), key, typ, claims)
	if err != nil {
		a.t.Fatal(err)
	}
	c.Token = token
	return c
}

// list asks for a key's sessions.
func (a *testAgent) list(key *jwtauth.PrivateKey) *shell.Call {
	return a.sign(call("GET", "/v1/sessions", nil), nil, key, newTestKey(a.t).PublicKey())
}

// openCall is the call that opens a source.
func (a *testAgent) openCall(source string, key, session *jwtauth.PrivateKey) *shell.Call {
	body := []byte("{}")
	return a.sign(call("POST", "/v1/shell/"+source, body), body, key, session.PublicKey())
}

// testSession is a session and the key that may write into it.
type testSession struct {
	a       *testAgent
	key     *jwtauth.PrivateKey
	id      string
	counter uint64
	frames  io.ReadCloser
	program *memoryProgram
}

// open opens a session through the broker itself.
func (a *testAgent) open(source string, key *jwtauth.PrivateKey) *testSession {
	a.t.Helper()
	k := newTestKey(a.t)
	before := len(a.programs())
	reply := a.Handle(a.t.Context(), a.openCall(source, key, k))
	if reply.Stream == nil {
		a.t.Fatalf("open of %s: %d %s", source, reply.Status, reply.Code)
	}
	a.t.Cleanup(func() { reply.Stream.Close() })
	return &testSession{a: a, key: k, id: k.PublicKey().Thumbprint(), frames: reply.Stream, program: a.programs()[before]}
}

// sign puts a request token into a call.
func (s *testSession) sign(c *shell.Call, body []byte) *shell.Call {
	s.a.t.Helper()
	s.counter++
	return s.a.signed(c, s.key, jwtauth.TypeRequest, jwtauth.Claims{
		IssuedAt: jwtauth.NumericDateOf(s.a.now()), ID: strconv.FormatUint(s.counter, 10),
		RequestHash: jwtauth.RequestHash(c.Method, c.Target, body),
	})
}

func (s *testSession) target(verb string) string { return "/v1/sessions/" + s.id + "/" + verb }

// stdin is the call that types.
func (s *testSession) stdin(offset uint64, text string) *shell.Call {
	body := shell.AppendStdin(nil, shell.Stdin{Offset: offset, Data: []byte(text)})
	return s.sign(call("POST", s.target("stdin"), body), body)
}

// exit reads to the exit.
func (s *testSession) exit() shell.Exit {
	s.a.t.Helper()
	for {
		f, err := shell.ReadFrame(s.frames, nil)
		var e shell.Exit
		if err == nil && f.Type == shell.FrameExit {
			if err = json.Unmarshal(f.Data, &e); err == nil {
				return e
			}
		}
		if err != nil {
			s.a.t.Fatalf("exit: %v", err)
		}
	}
}
