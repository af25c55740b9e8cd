package sources

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"shellagent/shell"
)

func askForward(q Request) Request {
	q.Open = shell.OpenRequest{Subsystem: shell.SubsystemForward, Env: map[string]string{"LANG": "x"}}
	return q
}

func TestNothingIsForwardedUnlessNamed(t *testing.T) {
	for _, members := range []string{``, `"allow": {"shell": true, "exec": true, "sftp": true}`, `"allow": {"agentForward": false, "exec": true}`, `"commands": ["ls"]`, `"forceCommand": "ls"`} {
		p, key := one(t, members, nil)
		wantDenied(t, p, askForward(ask(p, "s", key)), shell.ReasonAction)
	}
}

func TestWhatIsForwarded(t *testing.T) {
	local, remote := `["db:5432", "*.example.org:443", "10.0.0.0/8:8000-9000", "[::1]:*", "*:*", "/run/postgresql/*"]`, `["127.0.0.1:8080", "localhost:1024-65535", "/run/user/1000/*"]`
	p, key := one(t, `"allow": {"localForward": `+local+`, "remoteForward": `+remote+`, "agentForward": true}, "record": true, "drain": true`, nil)
	q := askForward(ask(p, "s", key))
	g := mustDecide(t, p, q)
	if g.Forward == nil || len(g.Forward.Local) != 6 || len(g.Forward.Remote) != 3 || !g.Forward.Agent || g.Files != nil || !slices.Equal(g.Argv, []string{"forward"}) || g.Path != "" {
		t.Errorf("%+v", g)
	}
	if g.Record != nil || g.Drain != nil {
		t.Error("connections are recorded as a screen is")
	}
	if slices.ContainsFunc(g.Env, func(v string) bool { return strings.HasPrefix(v, "LANG=") }) {
		t.Errorf("%q", g.Env)
	}
	sum := p.Summary(t.Context(), at)
	want := &ForwardSummary{
		Local:  []string{"db:5432", "*.example.org:443", "10.0.0.0/8:8000-9000", "[::1]:*", "*:*", "/run/postgresql/*"},
		Remote: []string{"127.0.0.1:8080", "localhost:1024-65535", "/run/user/1000/*"}, Agent: true, Text: forwardText(*g.Forward),
	}
	if got := sum.Sources[0].Forward; !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	if len(sum.Warnings) != 1 || !strings.Contains(sum.Warnings[0], "nothing of what it forwards") {
		t.Errorf("%q", sum.Warnings)
	}
	if x := p.Explain(t.Context(), q); x.Grant == nil || !strings.Contains(lines(x), "connects to db:5432, *.example.org:443") || !strings.Contains(lines(x), "forwards a key agent") {
		t.Error(lines(x))
	}
	// Another session of the source is recorded as it is.
	p2, key2 := one(t, `"allow": {"exec": true, "agentForward": true}, "record": true, "jwtRule": "action == 'exec' || command == 'forward' && action == 'forward'"`, nil)
	q2 := ask(p2, "s", key2)
	q2.Open.Argv = []string{"true"}
	if g := mustDecide(t, p2, q2); g.Record == nil || g.Forward != nil {
		t.Errorf("%+v", g)
	}
	mustDecide(t, p2, askForward(ask(p2, "s", key2)))
}

// SSH_AUTH_SOCK is taken where it names what the agent made, and there alone.
func TestAgentSocketOfAnotherSession(t *testing.T) {
	mine := func(kid string, uid uint32, path string) bool { return path == "/tmp/x/agent.sock" && kid != "" }
	for _, tt := range []struct {
		members, path string
		socket        func(string, uint32, string) bool
		want          bool
	}{
		{`"allow": {"exec": true, "agentForward": true}`, "/tmp/x/agent.sock", mine, true},
		{`"allow": {"exec": true, "agentForward": true}`, "/tmp/y/agent.sock", mine, false},
		{`"allow": {"exec": true, "agentForward": true}`, "/tmp/x/agent.sock", nil, false},
		{`"allow": {"exec": true, "localForward": ["*:*"]}`, "/tmp/x/agent.sock", mine, false},
		{`"acceptEnv": ["*"]`, "/tmp/x/agent.sock", mine, false},
	} {
		p, key := one(t, tt.members, nil)
		q := ask(p, "s", key)
		q.Open.Argv = []string{"true"}
		q.Open.Env, q.AgentSocket = map[string]string{"SSH_AUTH_SOCK": tt.path}, tt.socket
		g := mustDecide(t, p, q)
		if got := slices.Contains(g.Env, "SSH_AUTH_SOCK="+tt.path); got != tt.want {
			t.Errorf("%s, %s: %v", tt.members, tt.path, got)
		}
		if said := strings.Contains(lines(p.Explain(t.Context(), q)), "not accepted from the client: SSH_AUTH_SOCK"); said == tt.want {
			t.Errorf("%s, %s: said to be left out: %v", tt.members, tt.path, said)
		}
	}
}

func TestMistakesInDestinations(t *testing.T) {
	for text, want := range map[string]string{
		"":                                "has no port",
		"db":                              `"db" has no port; write "db:443" for one, or "db:*" for all of them`,
		"db:":                             "is not a port",
		"db:0":                            "is not a port",
		"db:65536":                        "is not a port",
		"db:080":                          "is not a port",
		"db:http":                         "is not a port",
		"db:9-8":                          "write the lower one first",
		"db:1-":                           "is not a port",
		":80":                             `"" is not a host's name`,
		"Db:80":                           "is not a host's name",
		"db.:80":                          "is not a host's name",
		"a b:80":                          "is not a host's name",
		"d*b:80":                          "is not a host's name",
		"*.*.x:80":                        "is not a host's name",
		"*db:80":                          "is not a host's name",
		"::1:80":                          "write an IPv6 address in brackets: [::1]",
		"[::1:80":                         "brackets are for an IPv6 address",
		"[db]:80":                         "brackets are for an IPv6 address",
		"[::ffff:10.0.0.1]:80":            "write it without a zone",
		"[fe80::1%eth0]:80":               "write it without a zone",
		"0.0.0.0:80":                      "* for every address",
		"127.1:80":                        "neither an address nor a name",
		"10.0.0.1.2:80":                   "neither an address nor a name",
		"2130706433:80":                   "neither an address nor a name",
		"10.1.2.3/8:80":                   "write 10.0.0.0/8",
		"10.0.0.0/33:80":                  "is not a network",
		"/run/../x":                       `write "/x"`,
		"/run/[":                          "is not a pattern of paths",
		"/run/x/":                         `write "/run/x"`,
		"/run/\x00":                       "is not a plain absolute path",
		strings.Repeat("a.", 130) + "b:1": "is not a host's name",
	} {
		if d, err := ParseDestination(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v", text, d, err)
		}
	}
}

// What is taken is written as it is read.
func FuzzDestination(f *testing.F) {
	for _, text := range []string{"db:5432", "*.example.org:443", "10.0.0.0/8:8000-9000", "[2001:db8::/32]:1", "[::1]:*", "*:*", "/run/*"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := ParseDestination(text)
		if err != nil {
			return
		}
		if again, err := ParseDestination(d.String()); err != nil || again != d {
			t.Fatalf("%q is %+v, written %s, which is %+v, %v", text, d, d, again, err)
		}
		if !(shell.Forward{Local: []shell.Destination{d}}).Covers(shell.Forward{Local: []shell.Destination{d}}) {
			t.Fatalf("%s does not cover itself", d)
		}
	})
}
