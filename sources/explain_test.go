package sources

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"shellagent/shell"
)

// jsonNames returns the keys of structs.
func jsonNames(values ...any) []string {
	var names []string
	for _, v := range values {
		for _, f := range reflect.VisibleFields(reflect.TypeOf(v)) {
			if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" {
				names = append(names, name)
			}
		}
	}
	return names
}

func lines(x Explanation) string {
	var text strings.Builder
	for _, s := range x.Steps {
		fmt.Fprintf(&text, "%s %v: %s\n", s.Check, s.OK, s.Detail)
	}
	return text.String()
}

func TestExplainTellsEveryStep(t *testing.T) {
	key, line := newKey(t, "laptop")
	p := mustParse(t, `{"exec": {"user": "operator"}, "jwtRule": "claims.a == 1",
		"verifyKeys": [{"subject": "alice", "keys": ["$k!"], "from": ["10.0.0.0/8"], "notAfter": "2026-12-31"}], "sources": {"s": {"shell": "/bin/sh"}}}`,
		map[string]string{"k": line}, Options{})
	q := Request{Source: "s", Key: key, Now: at}
	q.Open.Env = map[string]string{"LD_PRELOAD": "x"}
	x := p.Explain(t.Context(), q)
	const want = `source true: the source "s" is configured
revocation true: the key is not revoked
key true: listed at /verifyKeys/0/keys/0, subject alice
expiry true: the key is good until 2026-12-31T23:59:59Z
address true: depends on the address: the key may come from [10.0.0.0/8]
rule true: depends on the token's claims: claims.a == 1
request true: the request is well formed
user true: runs as operator (uid 1000), group 1000, groups [1000 4]
action true: shell is asked for; the source allows shell, exec, sftp
command true: starts /bin/sh as -sh
environment true: starts in /home/operator; not accepted from the client: LD_PRELOAD
`
	if got := lines(x); got != want || x.Grant == nil || x.Denied != nil {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	q.Remote = netip.MustParseAddr("192.0.2.7")
	x = p.Explain(t.Context(), q)
	last := x.Steps[len(x.Steps)-1]
	if last.Check != "address" || last.OK || last.Reason != shell.ReasonKeyAddress || x.Grant != nil || x.Denied == nil ||
		!strings.HasSuffix(last.Detail, "may not come from 192.0.2.7") {
		t.Errorf("got %+v", last)
	}
}

// TestExplainAgreesWithDecide: what is explained is what is decided.
func TestExplainAgreesWithDecide(t *testing.T) {
	p, key := one(t, `"commands": ["ls"]`, nil)
	stranger, _ := newKey(t, "")
	for _, k := range []Request{ask(p, "s", key), ask(p, "x", key), ask(p, "s", stranger)} {
		for _, open := range []shell.OpenRequest{{}, {Command: "ls"}, {Argv: []string{"rm"}}, {Command: "a", Argv: []string{"b"}}} {
			k.Open = open
			g, err := p.Decide(t.Context(), k)
			x := p.Explain(t.Context(), k)
			if (err == nil) != (x.Grant != nil) || err == nil && !reflect.DeepEqual(g, *x.Grant) || err != nil && err.Error() != x.Denied.Error() {
				t.Errorf("decided %+v, %v; explained %+v", g, err, x)
			}
		}
	}
}

func TestSummary(t *testing.T) {
	key, line := newKey(t, "laptop")
	old, oldLine := newKey(t, "old")
	p := mustParse(t, `{
		"verifyKeys": [{"subject": "alice", "keys": ["$k!"], "from": ["10.0.0.0/8"]}, {"keys": ["$old!"], "notAfter": "2020-01-01"}],
		"sources": {
			"me": {"exec": {"user": "$subject"}},
			"some": {"exec": {"user": "operator", "group": "adm"}, "commands": ["ls *", ["a b", "**"]], "jwtRule": "claims.a == 1"},
			"nobody": {"exec": {"user": "operator"}, "verifyKeys": [], "forceCommand": "menu"},
		}}`, map[string]string{"k": line, "old": oldLine}, Options{})
	sum := p.Summary(t.Context(), at)
	if len(sum.Sources) != 3 || len(sum.Warnings) != 1 || !strings.Contains(sum.Warnings[0], `"nobody" lets nobody in`) {
		t.Fatalf("%+v", sum)
	}
	me, nobody, some := sum.Sources[0], sum.Sources[1], sum.Sources[2]
	if me.Name != "me" || me.User != "$subject" || len(me.Keys) != 2 {
		t.Errorf("%+v", me)
	}
	if k := me.Keys[0]; k.Thumbprint != old.Thumbprint() || !strings.HasPrefix(k.Refused, "key_expired") || k.User != "" {
		t.Errorf("%+v", k)
	}
	if k := me.Keys[1]; k.Subject != "alice" || k.Label != "laptop" || k.Thumbprint != key.Thumbprint() || k.Fingerprint != key.OpenSSHFingerprint() ||
		k.User != "alice" || k.Refused != "" || !slices.Equal(k.From, []string{"10.0.0.0/8"}) || k.Where != "/verifyKeys/0/keys/0" {
		t.Errorf("%+v", k)
	}
	if !slices.Equal(some.Commands, []string{"ls *", "'a b' **"}) || some.Group != "adm" || len(some.Rules) != 1 || some.Keys[1].User != "operator" || some.Keys[1].Refused != "" {
		t.Errorf("%+v", some)
	}
	if len(nobody.Keys) != 0 || !slices.Equal(nobody.ForceCommand, []string{"menu"}) {
		t.Errorf("%+v", nobody)
	}
	if text, err := json.Marshal(sum); err != nil || !strings.Contains(string(text), `"thumbprint":"`+key.Thumbprint()) {
		t.Errorf("%s, %v", text, err)
	}
}
