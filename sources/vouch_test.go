package sources

import (
	"context"
	"errors"
	"net/netip"
	"testing"

	"shellagent/jwtauth"
	"shellagent/shell"
)

// said is a verify command for tests: it prints claims for a token.
type said map[string]map[string]any

func (s said) Verify(_ context.Context, token string) (map[string]any, error) {
	claims, ok := s[token]
	if !ok {
		return nil, errors.New("exit status 1")
	}
	return claims, nil
}

func noVerifier([]string, shell.Credential) (verifier, error) { return said{}, nil }

func TestVerifyCommandsVouchForUnlistedKeys(t *testing.T) {
	key, line := newKey(t, "")
	other, otherLine := newKey(t, "")
	listed, listedLine := newKey(t, "")
	revoked, revokedLine := newKey(t, "")
	answers := said{
		"good":      {"key": line, "subject": "alice", "groups": []any{"ops"}},
		"bare":      {"key": line},
		"other":     {"key": otherLine},
		"no key":    {"subject": "alice"},
		"bad key":   {"key": "ssh-ed25519 AAAA"},
		"bad name":  {"key": line, "subject": "a b"},
		"no name":   {"key": line, "subject": 7.0},
		"system":    {"key": line, "subject": "www-data"},
		"root":      {"key": line, "subject": "root"},
		"revoked":   {"key": revokedLine},
		"theft":     {"key": listedLine, "subject": "mallory"},
		"elsewhere": {"key": listedLine, "subject": "bob"},
	}
	var ran []string
	o := Options{newVerifier: func(argv []string, who shell.Credential) (verifier, error) {
		ran = append(ran, argv[0]+" as "+who.User)
		if argv[0] == "/bin/false" {
			return said{}, nil
		}
		return answers, nil
	}}
	const text = `{
		"revokedKeys": ["$revoked!"],
		"verifyCommands": [{"command": ["/bin/true"], "user": "alice"}],
		"sources": {
			"s": {"exec": {"user": "$subject"}, "verifyCommands": [{"command": ["/bin/false"], "user": "bob"}]},
			"plain": {"exec": {"user": "operator"}, "jwtRule": "'ops' in (verified.groups ?? ['ops'])"},
			"off": {"exec": {"user": "operator"}, "verifyCommands": []},
			"near": {"exec": {"user": "operator"}, "verifyCommands": [{"command": ["/bin/false"], "user": "bob", "from": ["10.0.0.0/8"]}]},
			"lists": {"exec": {"user": "operator"}, "verifyKeys": [{"subject": "bob", "keys": ["$listed!"]}]},
		},
	}`
	p := mustParse(t, text, map[string]string{"listed": listedLine, "revoked": revokedLine}, o)
	if len(ran) != 3 || ran[0] != "/bin/true as alice" {
		t.Errorf("made: %v", ran)
	}
	remote := netip.MustParseAddr("192.0.2.7")
	vouch := func(source, token string, k jwtauth.PublicKey) (*Voucher, error) {
		return p.UnknownKey(t.Context(), source, token, k.Thumbprint(), remote)
	}
	decide := func(source string, v *Voucher) (shell.Grant, error) {
		q := ask(p, source, v.Key)
		q.Vouched = v
		return p.Decide(t.Context(), q)
	}
	good, err := vouch("s", "good", key)
	if err != nil || good.Subject != "alice" || !good.Key.Equal(key) {
		t.Fatalf("%+v, %v", good, err)
	}
	if g, err := decide("s", good); err != nil || g.Credential.User != "alice" || g.Subject != "alice" || g.Key != key.Thumbprint() {
		t.Errorf("%+v, %v", g, err)
	}
	if _, err := decide("plain", good); reasonOf(err) != shell.ReasonVerifyCommand {
		t.Errorf("a voucher for another source: %v", err)
	}
	bare, err := vouch("plain", "bare", key)
	if err != nil {
		t.Fatal(err)
	}
	if g, err := decide("plain", bare); err != nil || g.Credential.User != "operator" || g.Subject != "" {
		t.Errorf("%+v, %v", g, err)
	}
	stolen := *bare
	stolen.Key = other
	q := ask(p, "plain", key)
	q.Vouched = &stolen
	wantDenied(t, p, q, shell.ReasonVerifyCommand)

	refusals := []struct {
		source, token string
		key           jwtauth.PublicKey
		want          shell.Reason
	}{
		{"plain", "never heard of", key, shell.ReasonVerifyCommand},
		{"plain", "other", key, shell.ReasonVerifyCommand},
		{"plain", "no key", key, shell.ReasonVerifyCommand},
		{"plain", "bad key", key, shell.ReasonVerifyCommand},
		{"plain", "bad name", key, shell.ReasonVerifyCommand},
		{"plain", "no name", key, shell.ReasonVerifyCommand},
		{"plain", "revoked", revoked, shell.ReasonKeyRevoked},
		{"plain", "theft", listed, shell.ReasonVerifyCommand},
		{"off", "good", key, shell.ReasonUnknownKey},
		{"off", "good", listed, shell.ReasonSourceKey},
		{"none", "good", key, shell.ReasonUnknownSource},
	}
	for _, tt := range refusals {
		if v, err := vouch(tt.source, tt.token, tt.key); reasonOf(err) != tt.want {
			t.Errorf("%s %q: %+v, %v; want %s", tt.source, tt.token, v, err, tt.want)
		}
	}
	if v, err := vouch("plain", "elsewhere", listed); err != nil || v.Subject != "bob" {
		t.Errorf("a key listed for another source: %+v, %v", v, err)
	}
	for _, token := range []string{"system", "root", "bare"} {
		v, err := vouch("s", token, key)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decide("s", v); reasonOf(err) != shell.ReasonUser {
			t.Errorf("$subject of %q: %v", token, err)
		}
	}
	// Once the command is gone from the configuration, so is what it said.
	without := mustParse(t, `{"sources": {"s": {"exec": {"user": "$subject"}}}}`, nil, o)
	q = ask(without, "s", key)
	q.Vouched, q.Again = good, true
	wantDenied(t, without, q, shell.ReasonVerifyCommand)
	// And a list that knows the key is asked before any voucher.
	if !p.Lists("lists", listed.Thumbprint()) || p.Lists("lists", key.Thumbprint()) {
		t.Error("Lists")
	}
}

func TestAVerifyCommandIsAskedOnlyAboutItsAddresses(t *testing.T) {
	key, line := newKey(t, "")
	asked := 0
	o := Options{newVerifier: func([]string, shell.Credential) (verifier, error) {
		return counted{&asked, said{"t": {"key": line}}}, nil
	}}
	p := mustParse(t, `{"sources": {"s": {"exec": {"user": "operator"}, "verifyCommands": [{"command": ["/bin/true"], "user": "bob", "from": ["10.0.0.0/8"]}]}}}`, nil, o)
	for addr, want := range map[string]int{"192.0.2.7": 0, "10.0.0.1": 1} {
		asked = 0
		_, err := p.UnknownKey(t.Context(), "s", "t", key.Thumbprint(), netip.MustParseAddr(addr))
		if asked != want || (err == nil) != (want == 1) {
			t.Errorf("%s: asked %d times, %v", addr, asked, err)
		}
	}
}

type counted struct {
	n *int
	verifier
}

func (c counted) Verify(ctx context.Context, token string) (map[string]any, error) {
	*c.n++
	return c.verifier.Verify(ctx, token)
}

func reasonOf(err error) shell.Reason {
	var denied *shell.Denied
	if errors.As(err, &denied) {
		return denied.Reason
	}
	return ""
}
