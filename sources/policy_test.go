package sources

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"shellagent/jwtauth"
	"shellagent/shell"
)

func TestWhichKeysOpenWhichSource(t *testing.T) {
	keys, lines := map[string]jwtauth.PublicKey{}, map[string]string{}
	for _, name := range []string{"everywhere", "limited", "nowhere", "own", "other", "stranger"} {
		keys[name], lines[name] = newKey(t, name)
	}
	p := mustParse(t, `{
		"exec": {"user": "operator"},
		"verifyKeys": ["$everywhere!", {"keys": ["$limited!"], "sources": ["b"]}, {"keys": ["$nowhere!"], "sources": []}],
		"sources": {
			"a": {"verifyKeys": ["$own!"]},
			"b": {"verifyKeys": ["$other!"]},
			"closed": {"verifyKeys": []},
			"global": {},
		},
	}`, lines, Options{})
	opens := map[string]string{
		"a": "everywhere own", "b": "everywhere limited other", "closed": "", "global": "everywhere",
	}
	for source, names := range opens {
		for name, key := range keys {
			q := ask(p, source, key)
			switch {
			case slices.Contains(strings.Fields(names), name):
				if g := mustDecide(t, p, q); g.Label != name || g.Key != key.Thumbprint() || g.Source != source {
					t.Errorf("grant of %s on %s: %+v", name, source, g)
				}
			case name == "stranger":
				wantDenied(t, p, q, shell.ReasonUnknownKey)
			default:
				wantDenied(t, p, q, shell.ReasonSourceKey)
			}
			if p.Lists(source, key.Thumbprint()) != slices.Contains(strings.Fields(names), name) {
				t.Errorf("Lists(%s, %s)", source, name)
			}
		}
	}
	for name, key := range keys {
		found, ok := p.Key(key.Thumbprint())
		if ok != (name != "stranger") || ok && !found.Equal(key) {
			t.Errorf("Key(%s) = %v, %v", name, found, ok)
		}
	}
	wantDenied(t, p, ask(p, "none", keys["everywhere"]), shell.ReasonUnknownSource)
	wantDenied(t, p, ask(p, "a", jwtauth.PublicKey{}), shell.ReasonUnknownKey)
	if !slices.Equal(p.Sources(), []string{"a", "b", "closed", "global"}) || len(p.Warnings()) != 1 {
		t.Errorf("sources %v, warnings %v", p.Sources(), p.Warnings())
	}
}

func TestAnEmptyConfigurationLetsNobodyIn(t *testing.T) {
	key, _ := newKey(t, "")
	p := mustParse(t, `{}`, nil, Options{})
	wantDenied(t, p, ask(p, "debug", key), shell.ReasonUnknownSource)
	p = mustParse(t, `{"sources": {"debug": {"exec": {"user": "operator"}}}}`, nil, Options{})
	wantDenied(t, p, ask(p, "debug", key), shell.ReasonUnknownKey)
}

func TestLimitsOfAnEntry(t *testing.T) {
	key, line := newKey(t, "k")
	with := func(members string) *Policy {
		return mustParse(t, `{"exec": {"user": "operator"}, "sources": {"s": {}}, "verifyKeys": [{"keys": ["$k!"], `+members+`}]}`, map[string]string{"k": line}, Options{})
	}
	from := func(p *Policy, addr string) Request {
		q := ask(p, "s", key)
		q.Remote = netip.Addr{}
		if addr != "" {
			q.Remote = netip.MustParseAddr(addr)
		}
		return q
	}
	p := with(`"from": ["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"]`)
	for _, addr := range []string{"10.1.2.3", "192.0.2.7", "::ffff:192.0.2.7", "2001:db8::1"} {
		mustDecide(t, p, from(p, addr))
	}
	for _, addr := range []string{"11.0.0.1", "192.0.2.8", "2001:db9::1", "::1", ""} {
		wantDenied(t, p, from(p, addr), shell.ReasonKeyAddress)
	}
	p = with(`"from": []`)
	wantDenied(t, p, from(p, "10.0.0.1"), shell.ReasonKeyAddress)

	tests := []struct {
		notAfter string
		good     bool
	}{
		{"2026-05-01", true}, {"2026-04-30", false}, {"2026-05-01T12:00:00Z", true}, {"2026-05-01T11:59:59Z", false}, {"2026-05-01T14:00:00+02:00", true},
	}
	for _, tt := range tests {
		p := with(`"notAfter": "` + tt.notAfter + `"`)
		if tt.good {
			mustDecide(t, p, ask(p, "s", key))
		} else {
			wantDenied(t, p, ask(p, "s", key), shell.ReasonKeyExpired)
		}
	}
}

func TestRevokedKeysOpenNothing(t *testing.T) {
	key, line := newKey(t, "k")
	_, other := newKey(t, "other")
	dir := t.TempDir()
	for name, member := range map[string]string{
		"thumbprint":  `"revokedKeys": ["` + key.Thumbprint() + `"]`,
		"fingerprint": `"revokedKeys": ["` + key.OpenSSHFingerprint() + `"]`,
		"line":        `"revokedKeys": ["$other!", "$k!"]`,
		"file":        `"revokedKeysFile": "revoked"`,
	} {
		text := "# stolen\n\n" + key.OpenSSHFingerprint() + "\n"
		if err := os.WriteFile(filepath.Join(dir, "revoked"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		p := mustParse(t, `{"exec": {"user": "operator"}, "verifyKeys": ["$k!"], "sources": {"s": {}}, `+member+`}`, map[string]string{"k": line, "other": other}, Options{Dir: dir})
		wantDenied(t, p, ask(p, "s", key), shell.ReasonKeyRevoked)
		if _, ok := p.Key(key.Thumbprint()); !ok {
			t.Errorf("%s: a revoked key has to be known, or its refusal cannot say so", name)
		}
		if name == "file" && !slices.Contains(p.Files(), filepath.Join(dir, "revoked")) {
			t.Errorf("files to watch: %v", p.Files())
		}
	}
}

func TestVerifyKeysDir(t *testing.T) {
	dir := t.TempDir()
	keys := filepath.Join(dir, "keys")
	if err := os.Mkdir(keys, 0o755); err != nil {
		t.Fatal(err)
	}
	var good []jwtauth.PublicKey
	put := func(name string, mode os.FileMode, labels ...string) {
		text := "# a comment\n\n"
		for _, l := range labels {
			k, line := newKey(t, l)
			good = append(good, k)
			text += line + "\n"
		}
		if err := os.WriteFile(filepath.Join(keys, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(keys, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	const text = `{"exec": {"user": "operator"}, "verifyKeysDir": "keys", "sources": {"s": {}}}`
	put("alice.pub", 0o644, "alice")
	put("team.keys", 0o600, "bob", "carol")
	listed := len(good)
	put("README", 0o644, "ignored")
	put(".alice.pub", 0o644, "ignored")
	p := mustParse(t, text, nil, Options{Dir: dir})
	for i, k := range good {
		if i < listed {
			mustDecide(t, p, ask(p, "s", k))
		} else {
			wantDenied(t, p, ask(p, "s", k), shell.ReasonUnknownKey)
		}
	}
	if want := []string{keys, filepath.Join(keys, "alice.pub"), filepath.Join(keys, "team.keys")}; !slices.Equal(p.Files(), want) {
		t.Errorf("files to watch: %v", p.Files())
	}
	put("open.pub", 0o666, "open")
	if _, err := parse(t, text, nil, Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "writable by others") {
		t.Errorf("a file that others may write: %v", err)
	}
	if err := os.WriteFile(filepath.Join(keys, "open.pub"), []byte("ssh-ed25519 AAAA\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(keys, "open.pub"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := parse(t, text, nil, Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "open.pub:1: ") {
		t.Errorf("a line that is no key: %v", err)
	}
}
