package shellhttp

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"shellagent/jwtauth"
	"shellagent/shell"
)

// testBroker is a broker in memory: it verifies with jwtauth and runs scripts
// in sessions of the real core. Policy is one source for each script.
type testBroker struct {
	t       testing.TB
	host    *jwtauth.PrivateKey
	signer  atomic.Pointer[jwtauth.PrivateKey] // of host tokens, in host's place
	user    *jwtauth.PrivateKey
	guard   *jwtauth.Guard
	scripts map[string]script
	skew    time.Duration // the broker's clock less ours
	leap    atomic.Int64  // a Duration by which its clock was set meanwhile
	linger  time.Duration

	started  atomic.Int32
	unagreed atomic.Bool // no MAC is agreed
	// inTransit, unless nil, is what becomes of a host token.
	inTransit func(token string) string
	signed    atomic.Int32
	tagged    atomic.Int32 // of the requests of sessions, those under a MAC
	// before may answer a call instead of the broker, after may change what
	// it answered.
	before func(call *shell.Call) (*shell.Reply, error)
	after  func(call *shell.Call, reply *shell.Reply) *shell.Reply

	registry *shell.Registry
	mu       sync.Mutex
	clients  map[string]*testClient
	calls    []string
}

type testClient struct {
	key     jwtauth.PublicKey
	window  jwtauth.Window
	session *shell.Session
	mac     *jwtauth.MAC
	share   string // for the host token that ends the agreement
}

// newTestClient is the holder of the session key in an identity token.
func (b *testBroker) newTestClient(token *jwtauth.Token, s *shell.Session) (*testClient, error) {
	c := &testClient{key: token.Claims.Session, session: s}
	if b.unagreed.Load() {
		return c, nil
	}
	var err error
	c.mac, c.share, err = jwtauth.AgreeMAC(token, s.ID())
	return c, err
}

func newTestBroker(t testing.TB, scripts map[string]script) *testBroker {
	t.Helper()
	b := &testBroker{t: t, scripts: scripts, linger: time.Minute, registry: shell.NewRegistry(0), clients: map[string]*testClient{}}
	var err error
	for _, k := range []**jwtauth.PrivateKey{&b.host, &b.user} {
		if *k, err = jwtauth.GeneratePrivateKey(); err != nil {
			t.Fatal(err)
		}
	}
	b.useClock()
	t.Cleanup(func() {
		b.guard.Close()
		b.registry.HangUpAll("test is over")
		for _, s := range b.registry.List(nil) {
			<-s.Done()
		}
	})
	return b
}

// useClock starts the guard again, with the skew.
func (b *testBroker) useClock() {
	guard, err := jwtauth.NewGuard(jwtauth.GuardConfig{StateDir: b.t.TempDir(), Now: b.now, PerKey: 1 << 16})
	if err != nil {
		b.t.Fatal(err)
	}
	if b.guard != nil {
		b.guard.Close()
	}
	b.guard = guard
}

func (b *testBroker) now() time.Time { return time.Now().Add(b.skew + time.Duration(b.leap.Load())) }

// seen counts calls that start with a method and target prefix.
func (b *testBroker) seen(prefix string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for _, c := range b.calls {
		if strings.HasPrefix(c, prefix) {
			n++
		}
	}
	return n
}

func (b *testBroker) Call(ctx context.Context, call *shell.Call) (*shell.Reply, error) {
	b.mu.Lock()
	b.calls = append(b.calls, call.Method+" "+call.Target)
	b.mu.Unlock()
	if b.before != nil {
		if reply, err := b.before(call); reply != nil || err != nil {
			return reply, err
		}
	}
	reply, err := b.handle(ctx, call)
	if err != nil {
		if ctx.Err() != nil || errors.Is(err, errBody) {
			return nil, err
		}
		reply = refusalOf(err)
	}
	if b.after != nil {
		reply = b.after(call, reply)
	}
	return reply, nil
}

var errBody = errors.New("body")

func refusalOf(err error) *shell.Reply {
	var denied *shell.Denied
	var token *jwtauth.Error
	reason, nonce := shell.ReasonInternal, ""
	switch {
	case errors.As(err, &denied):
		reason = denied.Reason
	case errors.As(err, &token):
		reason, nonce = shell.Reason(token.Reason), token.Nonce
	}
	reply := problemOf(shell.Deny(reason, nil))
	reply.Nonce = nonce
	var gap *shell.OffsetError
	if errors.As(err, &gap) {
		reply.Body, _ = json.Marshal(map[string]uint64{"next": gap.Next})
	}
	return reply
}

func (b *testBroker) handle(ctx context.Context, call *shell.Call) (*shell.Reply, error) {
	u, err := jwtauth.Parse(call.Token)
	if err != nil {
		return nil, err
	}
	key, client := b.user.PublicKey(), (*testClient)(nil)
	if u.Type == jwtauth.TypeRequest {
		b.mu.Lock()
		client = b.clients[u.Kid]
		b.mu.Unlock()
		if client == nil {
			return nil, shell.Deny(shell.ReasonSessionUnknown, nil)
		}
		key = client.key
	}
	if u.Kid != key.Thumbprint() {
		return nil, shell.Deny(shell.ReasonUnknownKey, nil)
	}
	verify := func() (*jwtauth.Token, error) { return u.Verify(key) }
	switch {
	case u.Alg != jwtauth.AlgHS256 && client != nil:
		b.signed.Add(1)
	case u.Alg == jwtauth.AlgHS256:
		b.tagged.Add(1)
		verify = func() (*jwtauth.Token, error) { return client.mac.Verify(u) }
	}
	token, err := verify()
	if err != nil {
		return nil, err
	}
	if err := b.guard.Fresh(token); err != nil {
		return nil, err
	}
	body := make([]byte, call.Size)
	if _, err := io.ReadFull(call.Body, body); err != nil {
		return nil, errors.Join(errBody, err)
	}
	if client != nil {
		if err := client.window.Take(token); err != nil {
			return nil, err
		}
	}
	if err := token.CheckRequest(call.Method, call.Target, body); err != nil {
		return nil, err
	}
	if client == nil {
		if err := token.CheckAudience(b.host.PublicKey().Thumbprint()); err != nil {
			return nil, err
		}
		if err := b.guard.Consume(token); err != nil {
			return nil, err
		}
	}
	return b.act(ctx, call, token, client, body)
}

func (b *testBroker) act(ctx context.Context, call *shell.Call, token *jwtauth.Token, client *testClient, body []byte) (*shell.Reply, error) {
	path, query, _ := strings.Cut(call.Target, "?")
	parts := strings.Split(path, "/")[2:]
	switch {
	case call.Method == "POST" && parts[0] == "shell":
		return b.open(ctx, parts[1], token, body)
	case call.Method == "GET" && len(parts) == 1:
		list := []shell.SessionSummary{}
		for _, s := range b.registry.List(nil) {
			list = append(list, s.Summary())
		}
		return jsonReply(map[string]any{"version": 1, "sessions": list})
	case call.Method == "DELETE":
		s := b.registry.ByID(parts[1])
		if s == nil {
			return nil, shell.Deny(shell.ReasonSessionUnknown, nil)
		}
		s.HangUp("killed by its owner")
		return jsonReply(map[string]any{"ended": true})
	case call.Method == "POST" && len(parts) == 3 && parts[2] == "attach":
		return b.attach(parts[1], token)
	case call.Method == "POST" && len(parts) == 3 && parts[2] == "watch":
		return b.watch(parts[1], query, token)
	case client == nil:
		return nil, shell.Deny(shell.ReasonTokenType, nil)
	case parts[2] == "stream":
		from, _ := strconv.ParseUint(strings.TrimPrefix(query, "from="), 10, 64)
		return b.stream(client, token, from)
	case parts[2] == "stdin":
		in, err := shell.ParseStdin(body)
		if err != nil {
			return nil, shell.Deny(shell.ReasonBody, err)
		}
		next, err := client.session.Stdin(ctx, client.key.Thumbprint(), in)
		if err != nil {
			return nil, err
		}
		return jsonReply(map[string]any{"next": next})
	default:
		var c shell.ControlRequest
		if err := json.Unmarshal(body, &c); err != nil {
			return nil, shell.Deny(shell.ReasonBody, err)
		}
		if err := client.session.Control(ctx, client.key.Thumbprint(), c); err != nil {
			return nil, err
		}
		return jsonReply(map[string]any{"next": client.session.StdinNext()})
	}
}

func (b *testBroker) open(ctx context.Context, source string, token *jwtauth.Token, body []byte) (*shell.Reply, error) {
	var req shell.OpenRequest
	if err := json.Unmarshal(body, &req); err != nil {
		return nil, shell.Deny(shell.ReasonOpenRequest, err)
	}
	run := b.scripts[source]
	if run == nil {
		return nil, shell.Deny(shell.ReasonUnknownSource, nil)
	}
	key := token.Claims.Session
	grant := shell.Grant{Source: source, Key: token.Kid, Limits: shell.Limits{Linger: b.linger, KillOnExit: true}}
	grant.Credential.User = "tester"
	s, _, err := b.registry.Open(ctx, shell.Opening{ID: key.Thumbprint(), Key: token.Kid, Hash: source + string(body), Source: source}, func() (*shell.Session, error) {
		b.started.Add(1)
		return shell.NewSession(shell.SessionConfig{
			ID: key.Thumbprint(), Grant: grant, Request: req, OpenHash: source + string(body),
		}, startScript(run, req.Terminal != nil)), nil
	})
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	client := b.clients[key.Thumbprint()]
	if client == nil {
		if client, err = b.newTestClient(token, s); err != nil {
			b.mu.Unlock()
			return nil, err
		}
		b.clients[key.Thumbprint()] = client
	}
	b.mu.Unlock()
	return b.stream(client, token, 0)
}
