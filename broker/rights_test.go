package broker

import (
	"encoding/json"
	"strings"
	"testing"

	"shellagent/jwtauth"
	"shellagent/shell"
	"shellagent/sources"
)

// openAs opens a source with a request of its own.
func (a *testAgent) openAs(source string, key *jwtauth.PrivateKey, open shell.OpenRequest) *testSession {
	a.t.Helper()
	body, err := json.Marshal(open)
	if err != nil {
		a.t.Fatal(err)
	}
	k := newTestKey(a.t)
	reply := a.Handle(a.t.Context(), a.sign(call("POST", "/v1/shell/"+source, body), body, key, k.PublicKey()))
	if reply.Stream == nil {
		a.t.Fatalf("open %s: %d %s %s", body, reply.Status, reply.Code, reply.Detail)
	}
	a.t.Cleanup(func() { reply.Stream.Close() })
	return &testSession{a: a, key: k, id: k.PublicKey().Thumbprint(), frames: reply.Stream}
}

// Of the sessions that live when policy changes, those end whose right is gone,
// and no other.
func TestChangedRightsEndWhatTheyNoLongerAllow(t *testing.T) {
	var (
		aShell, aFile = shell.OpenRequest{}, shell.OpenRequest{Subsystem: shell.SubsystemSFTP}
		aCommand      = shell.OpenRequest{Argv: []string{"true", "x"}}
		list          = func(lines ...string) (all []sources.Program) {
			for _, line := range lines {
				all = append(all, sources.Program{Line: line})
			}
			return all
		}
		files   = func(f sources.FileAccess) *sources.Allow { f.On = true; return &sources.Allow{SFTP: f} }
		all     = sources.Source{Shell: sources.Program{Line: "/bin/sh"}}
		forced  = sources.Source{ForceCommand: sources.Program{Argv: []string{"/bin/menu"}}}
		another = sources.Source{ForceCommand: sources.Program{Argv: []string{"/bin/menu", "-r"}}}
	)
	for name, tt := range map[string]struct {
		open       shell.OpenRequest
		begin, now sources.Source
		ends       bool
	}{
		"a shell, shells only":        {aShell, all, sources.Source{Allow: &sources.Allow{Shell: true}}, false},
		"a shell, commands only":      {aShell, all, sources.Source{Allow: &sources.Allow{Exec: true}}, true},
		"a shell, another shell":      {aShell, all, sources.Source{Shell: sources.Program{Line: "/bin/bash"}}, false},
		"a shell, a list":             {aShell, all, sources.Source{Commands: list("true **")}, true},
		"a shell, a forced one":       {aShell, all, forced, true},
		"a command, shells only":      {aCommand, all, sources.Source{Allow: &sources.Allow{Shell: true}}, true},
		"a command, listed":           {aCommand, all, sources.Source{Commands: list("true **")}, false},
		"a command, listed otherwise": {aCommand, all, sources.Source{Commands: list("true")}, true},
		"a command, forced":           {aCommand, all, forced, true},
		"forced, the same":            {aCommand, forced, forced, false},
		"forced, another":             {aCommand, forced, another, true},
		"forced, free":                {aCommand, forced, all, false},
		"files, read-only":            {aFile, all, sources.Source{Allow: files(sources.FileAccess{ReadOnly: true})}, true},
		"files, some":                 {aFile, all, sources.Source{Allow: files(sources.FileAccess{Paths: []string{"/srv"}})}, true},
		"files, none":                 {aFile, all, sources.Source{Allow: &sources.Allow{Shell: true, Exec: true}}, true},
		"files, more of them": {
			aFile, sources.Source{Allow: files(sources.FileAccess{ReadOnly: true, Paths: []string{"/srv/a"}})},
			sources.Source{Allow: files(sources.FileAccess{Paths: []string{"/srv"}})}, false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			alice := newTestKey(t)
			c := oneSource(alice)
			c.Sources["debug"] = tt.begin
			a := newTestAgent(t, c)
			s := a.openAs("debug", alice, tt.open)
			c.Sources = map[string]sources.Source{"debug": tt.now}
			for range 2 { // what was asked once is asked again, of what still runs
				ended := a.SetPolicy(t.Context(), newTestPolicy(t, c)) > 0
				if ended != tt.ends {
					t.Fatalf("ended: %v", ended)
				}
				if tt.ends {
					if e := s.exit(); !strings.Contains(e.Reason, "policy") {
						t.Errorf("ended with %+v", e)
					}
					return
				}
			}
			c.Sources = map[string]sources.Source{"debug": tt.begin}
			if a.SetPolicy(t.Context(), newTestPolicy(t, c)) > 0 {
				t.Error("ended by what it began with")
			}
		})
	}
}

// A banner comes with the first of a session and never again.
func TestBannerComesOnce(t *testing.T) {
	alice := newTestKey(t)
	c := oneSource(alice)
	c.Sources["debug"] = sources.Source{Banner: sources.Banner{Text: "Hello"}}
	a := newTestAgent(t, c)
	s := a.open("debug", alice)
	banner := func(reply *shell.Reply) string {
		t.Helper()
		if reply.Stream == nil {
			t.Fatalf("%d %s", reply.Status, reply.Code)
		}
		defer reply.Stream.Close()
		f, err := shell.ReadFrame(reply.Stream, nil)
		var info shell.SessionInfo
		if err == nil {
			err = json.Unmarshal(f.Data, &info)
		}
		if err != nil {
			t.Fatal(err)
		}
		return info.Banner
	}
	first, err := shell.ReadFrame(s.frames, nil)
	if err != nil || !strings.Contains(string(first.Data), `"banner":"Hello"`) {
		t.Errorf("the open's first frame is %s, %v", first.Data, err)
	}
	stream := func(from string) *shell.Call {
		return s.sign(call("GET", s.target("stream?from="+from), nil), nil)
	}
	if got := banner(a.Handle(t.Context(), stream("0"))); got != "Hello" {
		t.Errorf("who saw nothing yet is shown %q", got)
	}
	for _, verb := range []string{"watch", "attach"} {
		c := a.sign(call("POST", s.target(verb), nil), nil, alice, newTestKey(t).PublicKey())
		if got := banner(a.Handle(t.Context(), c)); got != "" {
			t.Errorf("%s shows %q", verb, got)
		}
	}
}
