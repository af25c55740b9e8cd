package sources

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"shellagent/account"
	"shellagent/config"
	"shellagent/jwtauth"
	"shellagent/shell"
)

// people is a host for tests.
type people struct {
	self   account.User
	users  map[string]account.User
	groups map[string]account.Group
	states map[string]account.State
	shells []string
	fail   error
}

var _ Accounts = (*people)(nil)

func (p *people) Self(context.Context) (*account.User, error) { u := p.self; return &u, nil }

func (p *people) Lookup(_ context.Context, name string) (*account.User, error) {
	u, ok := p.users[name]
	if p.fail != nil {
		return nil, p.fail
	}
	if !ok {
		return nil, fmt.Errorf("user %q: %w", name, account.ErrUnknown)
	}
	return &u, nil
}

func (p *people) LookupGroup(_ context.Context, name string) (account.Group, error) {
	g, ok := p.groups[name]
	if p.fail != nil {
		return g, p.fail
	}
	if !ok {
		return g, fmt.Errorf("group %q: %w", name, account.ErrUnknown)
	}
	return g, nil
}

func (p *people) Groups(_ context.Context, _ string, gid uint32) ([]uint32, error) {
	return []uint32{gid, 4}, p.fail
}

func (p *people) Status(_ context.Context, name string) (account.State, error) {
	return p.states[name], p.fail
}

func (p *people) Shells() ([]string, error) { return p.shells, nil }

func host() *people {
	p := &people{
		users: map[string]account.User{
			"root":     {Name: "root", Home: "/root", Shell: "/bin/sh"},
			"www-data": {Name: "www-data", UID: 33, GID: 33, Home: "/var/www", Shell: "/usr/sbin/nologin"},
			"operator": {Name: "operator", UID: 1000, GID: 1000, Home: "/home/operator", Shell: "/bin/sh"},
			"alice":    {Name: "alice", UID: 1001, GID: 1001, Home: "/home/alice", Shell: "/bin/sh"},
			"bob":      {Name: "bob", UID: 1002, GID: 1002, Home: "/home/bob", Shell: "/bin/sh"},
		},
		groups: map[string]account.Group{
			"root": {Name: "root"}, "operator": {Name: "operator", GID: 1000}, "adm": {Name: "adm", GID: 4}, "alice": {Name: "alice", GID: 1001},
		},
		states: map[string]account.State{},
		shells: []string{"/bin/sh", "/bin/bash", "/bin/rbash"},
	}
	p.self = p.users["root"]
	return p
}

// newKey returns a fresh key and its OpenSSH line.
func newKey(t testing.TB, label string) (jwtauth.PublicKey, string) {
	t.Helper()
	private, err := jwtauth.GeneratePrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	return private.PublicKey(), private.PublicKey().AuthorizedKey(label)
}

// parse makes a policy of text, in which every $name stands for a key's line.
func parse(t testing.TB, text string, keys map[string]string, o Options) (*Policy, error) {
	t.Helper()
	for name, line := range keys {
		text = strings.ReplaceAll(text, "$"+name+"!", line)
	}
	var c Config
	f, err := config.Decode("agent.json", []byte(text), &c)
	if err != nil {
		return nil, err
	}
	if o.Accounts == nil {
		o.Accounts = host()
	}
	p, err := New(c, o)
	return p, f.Locate(err)
}

func mustParse(t testing.TB, text string, keys map[string]string, o Options) *Policy {
	t.Helper()
	p, err := parse(t, text, keys, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// at is the time of every request here.
var at = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func ask(p *Policy, source string, k jwtauth.PublicKey) Request {
	return Request{Source: source, Key: k, Claims: map[string]any{}, Remote: netip.MustParseAddr("192.0.2.7"), Now: at}
}

// wantDenied fails unless the decision is a denial for the reason.
func wantDenied(t *testing.T, p *Policy, q Request, want shell.Reason) {
	t.Helper()
	_, err := p.Decide(t.Context(), q)
	var denied *shell.Denied
	if !errors.As(err, &denied) || denied.Reason != want {
		t.Errorf("source %q: got %v, want %s", q.Source, err, want)
	}
}

func mustDecide(t testing.TB, p *Policy, q Request) shell.Grant {
	t.Helper()
	g, err := p.Decide(t.Context(), q)
	if err != nil {
		t.Fatalf("source %q: %v", q.Source, err)
	}
	return g
}
