package sources

import (
	"strings"
	"testing"
	"time"

	"shellagent/shell"
)

func TestRules(t *testing.T) {
	tests := []struct {
		rule string
		want bool
	}{
		{`true`, true},
		{`false`, false},
		{`claims.env == "prod"`, true},
		{`claims.env == "test"`, false},
		{`claims.missing == "x"`, false},
		{`claims.missing.deeper == "x"`, false},
		{`claims?.missing?.deeper == "x"`, false},
		{`claims.level >= 3`, true},
		{`"ops" in claims.groups`, true},
		{`any(claims.groups, # in ["ops", "dba"])`, true},
		{`all(claims.groups, # startsWith "x")`, false},
		{`any(claims.missing, # == 1)`, false},
		{`claims.env + 1`, false},
		{`source == "s" && subject == "alice" && len(key) == 43`, true},
		{`remote == "192.0.2.7" && remote matches "^192\\."`, true},
		{`now.Hour() >= 8 && now.Hour() < 18`, true},
		{`now < date("2026-12-31")`, true},
		{`command == "" && len(argv) == 0 && !terminal`, true},
		{`len(verified) == 0`, true},
		{`[1][7] == 1`, false},
		{`claims.level`, false},
	}
	for _, tt := range tests {
		key, line := newKey(t, "")
		p, err := parse(t, `{"exec": {"user": "operator"}, "verifyKeys": [{"subject": "alice", "keys": ["$k!"]}], "sources": {"s": {"jwtRule": `+quoted(tt.rule)+`}}}`,
			map[string]string{"k": line}, Options{})
		if err != nil {
			if tt.want || !strings.Contains(err.Error(), "does not compile") {
				t.Errorf("%s: %v", tt.rule, err)
			}
			continue
		}
		q := ask(p, "s", key)
		q.Claims = map[string]any{"env": "prod", "level": 3.0, "groups": []any{"dev", "ops"}}
		_, err = p.Decide(t.Context(), q)
		if (err == nil) != tt.want || err != nil && reasonOf(err) != shell.ReasonRule {
			t.Errorf("%s: %v", tt.rule, err)
		}
	}
}

func TestBothRulesHaveToHold(t *testing.T) {
	key, line := newKey(t, "")
	p := mustParse(t, `{"exec": {"user": "operator"}, "verifyKeys": ["$k!"], "jwtRule": "claims.a == 1", "sources": {"s": {"jwtRule": "claims.b == 1"}, "t": {}}}`,
		map[string]string{"k": line}, Options{})
	for _, tt := range []struct {
		source string
		a, b   float64
		want   bool
	}{{"s", 1, 1, true}, {"s", 1, 0, false}, {"s", 0, 1, false}, {"t", 1, 0, true}, {"t", 0, 1, false}} {
		q := ask(p, tt.source, key)
		q.Claims = map[string]any{"a": tt.a, "b": tt.b}
		if _, err := p.Decide(t.Context(), q); (err == nil) != tt.want {
			t.Errorf("%+v: %v", tt, err)
		}
	}
}

func TestARuleThatOnlyALongTokenMakesSlowIsBounded(t *testing.T) {
	r, err := newRule(`all(split(claims.s, ""), # == "a") && !any(filter(split(claims.s, ""), # == "b"), # == "b") && claims.s matches "^(a|aa)+$"`)
	if err == nil {
		began := time.Now()
		held, err := r.holds(ruleEnv{Claims: map[string]any{"s": strings.Repeat("a", 6<<10)}})
		if took := time.Since(began); !held || err != nil || took > time.Second {
			t.Errorf("%v, %v after %v", held, err, took)
		}
		return
	}
	if !strings.Contains(err.Error(), "loop") {
		t.Error(err)
	}
}

func quoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

func FuzzRule(f *testing.F) {
	for _, seed := range []string{
		`claims.env == "prod"`, `any(claims.groups, # in ["a"])`, `now.Hour() > 8`, `1 in 1..100000000`, `all(claims.a, all(claims.a, true))`,
		`let x = claims.a; x == x`, `"a" * 3`, `map(filter(claims.a, true), #) == claims.a`, `not (source matches claims.a)`, `{"a": 1}.a == 1`,
	} {
		f.Add(seed)
	}
	env := ruleEnv{
		Claims: map[string]any{"a": []any{"x", 1.0, nil, map[string]any{"b": true}}, "env": "prod", "groups": []any{"a"}},
		Source: "s", Subject: "alice", Argv: []string{"ls"}, Now: time.Unix(1e9, 0),
	}
	f.Fuzz(func(t *testing.T, text string) {
		began := time.Now()
		r, err := newRule(text)
		if err != nil {
			return
		}
		_, _ = r.holds(env)
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%q took %v", text, took)
		}
	})
}
