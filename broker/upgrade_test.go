package broker

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/netip"
	"os/user"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"shellagent/config"
	"shellagent/jwtauth"
	"shellagent/shell"
	"shellagent/sources"
)

// silent is a program that does nothing until it is hung up.
type silent struct {
	hung  chan struct{}
	close sync.Once
}

func newSilent() *silent { return &silent{hung: make(chan struct{})} }

var _ shell.Suspender = (*silent)(nil)

func (p *silent) Stdin() io.WriteCloser            { return nopCloser{io.Discard} }
func (p *silent) Resize(shell.Winsize) error       { return nil }
func (p *silent) Signal(string) error              { return nil }
func (p *silent) Wait() shell.Exit                 { <-p.hung; return shell.Exit{Code: 129, Signal: "HUP"} }
func (p *silent) HangUp(time.Duration)             { p.close.Do(func() { close(p.hung) }) }
func (p *silent) Close()                           {}
func (p *silent) Suspend()                         {}
func (p *silent) Unsuspend()                       {}
func (p *silent) Output(shell.FrameType) io.Reader { return strings.NewReader("") }

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// upgraded is a broker and what its observer saw.
type upgraded struct {
	*Broker
	registry *shell.Registry
	events   []shell.Event
	mu       sync.Mutex
}

func (u *upgraded) Observe(e shell.Event) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.events = append(u.events, e)
}

func (u *upgraded) saw(kind shell.EventKind) (n int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, e := range u.events {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

func policyFor(t *testing.T, key jwtauth.PublicKey) *sources.Policy {
	t.Helper()
	self, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	var c sources.Config
	text := `{"verifyKeys": ["` + key.AuthorizedKey("alice") + `"], "sources": {"debug": {"shell": "/bin/sh", "exec": {"user": "` + self.Username + `"}}}}`
	if _, err := config.Decode("agent.json", []byte(text), &c); err != nil {
		t.Fatal(err)
	}
	p, err := sources.New(c, sources.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func newUpgraded(t *testing.T, p *sources.Policy) *upgraded {
	t.Helper()
	host, err := jwtauth.GeneratePrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	guard, err := jwtauth.NewGuard(jwtauth.GuardConfig{StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	u := &upgraded{registry: shell.NewRegistry(0)}
	u.Broker, err = New(Config{
		HostKey: host, Guard: guard, Registry: u.registry, Policy: p, Observer: u,
		Start: func(context.Context, shell.Grant, shell.OpenRequest, netip.AddrPort) (shell.Program, error) {
			return newSilent(), nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func newKey(t *testing.T) jwtauth.PublicKey {
	t.Helper()
	key, err := jwtauth.GeneratePrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	return key.PublicKey()
}

// start opens a session as Broker.open does, once the token was verified.
func (u *upgraded) start(t *testing.T, identity, session jwtauth.PublicKey) *shell.Session {
	t.Helper()
	ask := sources.Request{
		Source: "debug", Key: identity, Claims: map[string]any{"iat": 1.5, "team": "red"},
		Remote: netip.MustParseAddr("192.0.2.7"), Now: time.Now(), Open: shell.OpenRequest{Env: map[string]string{"LANG": "C"}},
	}
	grant, err := u.Policy().Decide(t.Context(), ask)
	if err != nil {
		t.Fatal(err)
	}
	kid := session.Thumbprint()
	opening := shell.Opening{ID: kid, Key: identity.Thumbprint(), Hash: "hash", Source: "debug"}
	s, _, err := u.sessions.Open(t.Context(), opening, func() (*shell.Session, error) {
		s := shell.NewSession(shell.SessionConfig{
			ID: kid, Grant: grant, Request: ask.Open, Remote: ask.Remote, OnEvent: u.sessionEvent,
			OnGone: func() { u.forget(kid) },
		}, newSilent())
		u.admit(s, ask, u.Policy(), &client{key: session, host: "the host key"})
		return s, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// next makes the broker of the next image, with the given policy.
func (u *upgraded) next(t *testing.T, p *sources.Policy) *upgraded {
	t.Helper()
	if err := u.Freeze(t.Context()); err != nil {
		t.Fatal(err)
	}
	after := newUpgraded(t, p)
	err := u.States(func(s SessionState, _ shell.Program) error {
		text, err := json.Marshal(s)
		if err != nil {
			return err
		}
		var arrived SessionState
		if err := json.Unmarshal(text, &arrived); err != nil {
			return err
		}
		if err := arrived.Check(); err != nil {
			return err
		}
		_, err = after.Restore(arrived, newSilent(), time.Second)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	u.Thaw()
	u.end(t)
	return after
}

func (u *upgraded) end(t *testing.T) {
	t.Helper()
	if err := u.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestSessionsCrossAnUpgrade(t *testing.T) {
	identity, session, taker := newKey(t), newKey(t), newKey(t)
	policy := policyFor(t, identity)
	u := newUpgraded(t, policy)
	s := u.start(t, identity, session)
	first, _ := u.client(session.Thumbprint())
	agreed := &jwtauth.MACState{Token: bytes.Repeat([]byte("t"), 32), Body: bytes.Repeat([]byte("b"), 32)}
	var err error
	if first.mac, err = jwtauth.RestoreMAC(session, agreed); err != nil {
		t.Fatal(err)
	}
	for _, n := range []uint64{1, 2, 9} {
		if err := first.window.Accept(n); err != nil {
			t.Fatal(err)
		}
	}
	before, asked := s.Summary(), u.lives[s.ID()].request
	u = u.next(t, policyFor(t, identity))

	l, c := u.lives[session.Thumbprint()], u.clients[session.Thumbprint()]
	if l == nil || c == nil || c.session != u.registry.ByID(session.Thumbprint()) {
		t.Fatal("the session is not known")
	}
	after := c.session.Summary()
	before.Started, after.Started = 0, 0 // the pause was not a real one
	if !reflect.DeepEqual(before, after) {
		t.Errorf("was %+v, is %+v", before, after)
	}
	if !l.request.Key.Equal(asked.Key) || !reflect.DeepEqual(l.request.Claims, asked.Claims) || l.request.Source != "debug" ||
		l.request.Remote != asked.Remote || !reflect.DeepEqual(l.request.Open, asked.Open) || !l.request.Again {
		t.Errorf("asked %+v, then %+v", asked, l.request)
	}
	if c.host != "the host key" {
		t.Errorf("its client knows the host key %q", c.host)
	}
	if !reflect.DeepEqual(c.mac.State(), agreed) {
		t.Error("what was agreed with its client is lost")
	}
	if c.window.Accept(9) == nil || c.window.Accept(3) != nil {
		t.Error("the counters of its client are not those of before")
	}
	if n := u.saw(shell.EventContinued); n != 1 || u.saw(shell.EventOpened) != 0 {
		t.Errorf("%d sessions continued", n)
	}
	if ended := u.SetPolicy(t.Context(), u.Policy()); ended != 0 {
		t.Error("the session is not allowed any more")
	}
	// Another image, whose configuration no longer has the key.
	u = u.next(t, policyFor(t, taker))
	if ended := u.SetPolicy(t.Context(), u.Policy()); ended != 1 {
		t.Error("the session is still allowed")
	}
	gone := u.registry.ByID(session.Thumbprint())
	<-gone.Done()
	if exit := gone.Summary().Exit; exit == nil || exit.Reason != "no longer allowed by policy" {
		t.Errorf("it ended with %+v", exit)
	}
	u.end(t)
}

// woken is a program that says whether it was touched.
type woken struct {
	*silent
	touched atomic.Bool
}

func (p *woken) Unsuspend() { p.touched.Store(true) }

func TestRestoreRefuses(t *testing.T) {
	identity := newKey(t)
	u := newUpgraded(t, policyFor(t, identity))
	u.start(t, identity, newKey(t))
	if err := u.Freeze(t.Context()); err != nil {
		t.Fatal(err)
	}
	var good SessionState
	if err := u.States(func(s SessionState, _ shell.Program) error { good = s; return nil }); err != nil {
		t.Fatal(err)
	}
	u.Thaw()
	after := newUpgraded(t, u.Policy())
	for name, spoil := range map[string]func(*SessionState){
		"no identity":    func(s *SessionState) { s.Asked.Key = nil },
		"no clients":     func(s *SessionState) { s.Clients = nil },
		"a client's key": func(s *SessionState) { s.Clients = []ClientState{{Key: []byte(`{}`)}} },
		"a short MAC": func(s *SessionState) {
			s.Clients = slices.Clone(s.Clients)
			s.Clients[0].MAC = &jwtauth.MACState{Token: make([]byte, 32), Body: make([]byte, 16)}
		},
		"no id":   func(s *SessionState) { s.Session.Opening.ID = "" },
		"records": func(s *SessionState) { s.Session.Output.Records = [][]byte{{9, 9, 9, 9}} },
	} {
		bad := good
		spoil(&bad)
		if _, err := after.Restore(bad, newSilent(), 0); bad.Check() == nil || err == nil {
			t.Errorf("%s: restored", name)
		}
	}
	if len(after.lives)+len(after.clients) > 0 {
		t.Error("what was not restored is known")
	}
	// Twice is once too often: the first goes on, the second's program is nobody's.
	first, second := newSilent(), &woken{silent: newSilent()}
	session, err := after.Restore(good, first, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := after.Restore(good, second, 0); err == nil || second.touched.Load() {
		t.Errorf("restored over another session (%v), or its program was touched", err)
	}
	if after.lives[session.ID()].session != session {
		t.Error("the session is not known any more")
	}
	u.end(t)
	after.end(t)
}
