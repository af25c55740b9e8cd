package sources

import (
	"maps"
	"strings"
	"testing"

	"shellagent/config"
)

func recording(t *testing.T, members string) (*Policy, Request) {
	t.Helper()
	key, line := newKey(t, "k")
	var c Config
	text := `{"exec": {"user": "operator"}, "verifyKeys": ["` + line + `"], "sources": {"s": {` + members + `}}}`
	f, err := config.Decode("agent.json", []byte(text), &c)
	if err != nil {
		t.Fatal(err)
	}
	p, err := New(c, Options{Accounts: host()})
	if err != nil {
		t.Fatal(f.Locate(err))
	}
	return p, ask(p, "s", key)
}

func TestRecordOfASource(t *testing.T) {
	for members, want := range map[string]string{
		``:                                    "none",
		`"record": false`:                     "none",
		`"record": true`:                      "required",
		`"record": {}`:                        "required",
		`"record": {"required": false}`:       "",
		`"record": {"input": true}`:           "required input",
		`"record": {"sample": 8192}`:          "required sampled",
		`"record": {"dir": "/srv/recording"}`: "required /srv/recording",
	} {
		p, q := recording(t, members)
		g, err := p.Decide(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		got := []string{}
		switch r := g.Record; {
		case r == nil:
			got = append(got, "none")
		default:
			for text, on := range map[string]bool{"required": r.Required, "input": r.Input, "sampled": r.Sample == 8192} {
				if on {
					got = append(got, text)
				}
			}
			if r.Dir != "" {
				got = append(got, r.Dir)
			}
		}
		for _, word := range got {
			if !strings.Contains(" "+want+" ", " "+word+" ") {
				t.Errorf("%s: %v instead of %q", members, got, want)
			}
		}
		if len(got) != len(strings.Fields(want)) {
			t.Errorf("%s: %v instead of %q", members, got, want)
		}
	}
}

func TestLabels(t *testing.T) {
	p, q := recording(t, `"labels": {"team": "ops"}, "labelClaims": ["pr-number", "commit-sha", "long", "list"]`)
	q.Claims = map[string]any{
		"operation_id": "op-7", "pr-number": float64(12), "commit-sha": "abc", "team": "mine", "other": "x",
		"long": strings.Repeat("x", maxLabel+1), "list": []any{"a"},
	}
	g, err := p.Decide(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"team": "ops", "pr-number": "12", "commit-sha": "abc"}
	if g.Operation != "op-7" || !maps.Equal(g.Labels, want) {
		t.Errorf("operation %q, labels %v", g.Operation, g.Labels)
	}
	q.Claims = nil
	if g, err := p.Decide(t.Context(), q); err != nil || g.Operation != "" || len(g.Labels) != 1 {
		t.Errorf("without claims: %q, %v, %v", g.Operation, g.Labels, err)
	}
}

// TestEmail asks where an address is taken from, and which one wins.
func TestEmail(t *testing.T) {
	for members, want := range map[string]string{
		``:                                    "claim@example.com",
		`"labelClaims": ["email"]`:            "label@example.com",
		`"labels": {"email": "no address"}`:   "claim@example.com",
		`"labels": {"email": "op@corp.test"}`: "op@corp.test",
		`"labels": {"email": "a@b", "operation_user_email": "op@corp.test"}`: "op@corp.test",
	} {
		p, q := recording(t, members)
		q.Claims = map[string]any{"operation_user_email": "claim@example.com", "email": "label@example.com"}
		g, err := p.Decide(t.Context(), q)
		if err != nil || g.Email != want {
			t.Errorf("%s: %q, %v; want %q", members, g.Email, err, want)
		}
	}
	key, line := newKey(t, "k")
	configured := func(email string) (*Policy, error) {
		return New(Config{
			Exec: Exec{User: "operator"}, Sources: map[string]Source{"s": {Labels: map[string]string{"email": "label@example.com"}}},
			VerifyKeys: []KeyEntry{{Subject: "alice", Email: email, Keys: []string{line}}},
		}, Options{Accounts: host()})
	}
	p, err := configured("alice@example.com")
	if err != nil {
		t.Fatal(err)
	}
	if g, err := p.Decide(t.Context(), ask(p, "s", key)); err != nil || g.Email != "alice@example.com" {
		t.Errorf("of the key's entry: %q, %v", g.Email, err)
	}
	for _, email := range []string{"alice", "@", "a@", "a b@c", "a@b\n", "a@" + strings.Repeat("x", maxEmail)} {
		if _, err := configured(email); err == nil || !strings.Contains(err.Error(), "e-mail") {
			t.Errorf("%q: %v", email, err)
		}
	}
}
