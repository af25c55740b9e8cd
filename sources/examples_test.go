package sources

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"shellagent/account"
	"shellagent/config"
	"shellagent/jwtauth"
	"shellagent/shell"
)

// agentFile is what an agent's file has besides policy.
type agentFile struct {
	Config
	Listen   jsontext.Value `json:"listen"`
	StateDir string         `json:"stateDir"`
	Audit    jsontext.Value `json:"audit"`
}

func readExample(t *testing.T, name string, edit func(string) string) (*config.File, Config) {
	t.Helper()
	path := filepath.Join("..", "examples", name)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var a agentFile
	f, err := config.Decode(path, []byte(edit(string(text))), &a)
	if err != nil {
		t.Fatal(err)
	}
	return f, a.Config
}

// TestEtchasExample is the configuration of Etcha's documentation as it is
// printed there, trailing commas and all, once keys are added.
func TestEtchasExample(t *testing.T) {
	_, c := readExample(t, "etcha/agent.json", func(s string) string { return s })
	key, line := newKey(t, "alice")
	p, err := New(c, Options{Accounts: host()})
	if err != nil {
		t.Fatal(err)
	}
	wantDenied(t, p, ask(p, "debug", key), shell.ReasonUnknownKey)
	c.VerifyKeys = []KeyEntry{{Key: line}}
	if p, err = New(c, Options{Accounts: host()}); err != nil {
		t.Fatal(err)
	}
	g := mustDecide(t, p, ask(p, "debug", key))
	if g.Credential.User != "operator" || g.Credential.Group != "operator" || g.Path != "/bin/bash" || !slices.Equal(g.Argv, []string{"-bash"}) {
		t.Errorf("grant %+v", g)
	}
}

// exampleHost has what examples/agent.json asks of a host.
func exampleHost(t *testing.T) (Options, func(string) string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "keys.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	verify := filepath.Join(dir, "verify-ci-token")
	banner := filepath.Join(dir, "issue.net")
	for path, mode := range map[string]os.FileMode{filepath.Join(dir, "revoked"): 0o644, banner: 0o644, verify: 0o755} {
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	h := host()
	h.users["nobody"] = account.User{Name: "nobody", UID: 65534, GID: 65534, Home: "/nonexistent", Shell: "/usr/sbin/nologin"}
	return Options{Accounts: h, Dir: dir}, func(s string) string {
		s = strings.ReplaceAll(s, "/etc/issue.net", banner)
		return strings.ReplaceAll(s, "/usr/local/bin/verify-ci-token", verify)
	}
}

func TestTheFullExample(t *testing.T) {
	o, edit := exampleHost(t)
	f, c := readExample(t, "agent.json", edit)
	p, err := New(c, o)
	if err != nil {
		t.Fatal(f.Locate(err))
	}
	if w := p.Warnings(); len(w) > 0 {
		t.Errorf("warnings: %v", w)
	}
	if !slices.Equal(p.Sources(), []string{"backup", "debug", "me", "root", "status"}) || !slices.Equal(p.Subjects(), []string{"alice", "bob@example.com", "carol"}) {
		t.Errorf("sources %v, subjects %v", p.Sources(), p.Subjects())
	}
	keys := map[string]jwtauth.PublicKey{}
	for kid, subject := range p.subjects {
		keys[subject] = p.keys[kid]
	}
	for source, opens := range map[string]string{
		"debug": "  alice bob@example.com", "me": "alice", "root": "alice carol", "status": " alice bob@example.com", "backup": "",
	} {
		for subject, key := range keys {
			q := ask(p, source, key)
			if source == "status" {
				q.Open.Command = "systemctl status nginx"
			}
			_, err := p.Decide(t.Context(), q)
			want := slices.Contains(strings.Split(opens, " "), subject)
			if (err == nil) != want && subject != "" {
				t.Errorf("%q on %s: %v", subject, source, err)
			}
		}
	}
}

// TestEveryKeyOfAConfigurationIsInTheExample keeps the example full.
func TestEveryKeyOfAConfigurationIsInTheExample(t *testing.T) {
	text, err := os.ReadFile("../examples/agent.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range jsonNames(Config{}, Source{}, Allow{}, FileAccess{}, Exec{}, KeyEntry{}, VerifyCommand{}) {
		if !strings.Contains(string(text), `"`+name+`":`) {
			t.Errorf("%s is not shown", name)
		}
	}
}
