package sources

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"shellagent/account"
	"shellagent/jwtauth"
	"shellagent/shell"
)

// one is a policy with one source, "s", that one key opens.
func one(t testing.TB, members string, h *people) (*Policy, jwtauth.PublicKey) {
	t.Helper()
	key, line := newKey(t, "laptop")
	text := `{"exec": {"user": "operator"}, "verifyKeys": [{"subject": "alice", "keys": ["$k!"]}], "sources": {"s": {` + members + `}}}`
	o := Options{}
	if h != nil {
		o.Accounts = h
	}
	return mustParse(t, text, map[string]string{"k": line}, o), key
}

func TestAGrantIsComplete(t *testing.T) {
	p, key := one(t, `"shell": "/bin/sh", "exec": {"group": "adm", "workDir": "/srv", "env": {"EDITOR": "vi"}},
		"maxSessions": 3, "maxProcesses": 70, "idleTimeout": "15m", "maxDuration": "8h", "linger": 0, "killOnExit": false, "cover": "required"`, nil)
	g := mustDecide(t, p, ask(p, "s", key))
	if g.Source != "s" || g.Subject != "alice" || g.Key != key.Thumbprint() || g.Label != "laptop" || g.Dir != "/srv" {
		t.Errorf("grant %+v", g)
	}
	c := g.Credential
	if c.User != "operator" || c.Group != "adm" || c.UID != 1000 || c.GID != 4 || c.Home != "/home/operator" || !slices.Equal(c.Groups, []uint32{4, 4}) {
		t.Errorf("credential %+v", c)
	}
	if want := (shell.Limits{MaxSessions: 3, MaxProcesses: 70, IdleTimeout: 15 * time.Minute, MaxDuration: 8 * time.Hour}); g.Limits != want {
		t.Errorf("limits %+v", g.Limits)
	}
	if g.Cover != shell.CoverRequired {
		t.Errorf("cover %q", g.Cover)
	}
	want := []string{"EDITOR=vi", "HOME=/home/operator", "LOGNAME=operator", "PATH=" + userPath, "SHELL=/bin/sh", "USER=operator"}
	if !slices.Equal(g.Env, want) {
		t.Errorf("env %q", g.Env)
	}
	p, key = one(t, ``, nil)
	g = mustDecide(t, p, ask(p, "s", key))
	if want := (shell.Limits{MaxSessions: DefaultMaxSessions, Linger: time.Minute, KillOnExit: true}); g.Limits != want || g.Dir != "/home/operator" || g.Credential.GID != 1000 || g.Cover != shell.CoverOffered {
		t.Errorf("defaults: %+v", g)
	}
	p, key = one(t, `"cover": "off"`, nil)
	if g = mustDecide(t, p, ask(p, "s", key)); g.Cover != "" {
		t.Errorf("cover that is off is %q", g.Cover)
	}
}

func TestWhatIsStarted(t *testing.T) {
	shellAt := filepath.Join(t.TempDir(), "mysh")
	if err := os.WriteFile(shellAt, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	interactive := shell.OpenRequest{}
	command := func(c string) shell.OpenRequest { return shell.OpenRequest{Command: c} }
	argv := func(a ...string) shell.OpenRequest { return shell.OpenRequest{Argv: a} }
	tests := []struct {
		name, members string
		open          shell.OpenRequest
		want          string // path and argv, or a reason
	}{
		{"login shell", `"shell": "/bin/sh"`, interactive, "/bin/sh: -sh"},
		{"the user's own shell", ``, interactive, "/bin/sh: -sh"},
		{"list as given", `"shell": ["/bin/sh", "-l", "-i"]`, interactive, "/bin/sh: /bin/sh -l -i"},
		{"list by PATH", `"shell": ["tmux", "new"]`, interactive, "tmux: tmux new"},
		{"command", `"shell": "/bin/sh"`, command("a | b; c"), "/bin/sh: sh -c 'a | b; c'"},
		{"command to a list", `"shell": ["/bin/sh", "-e"]`, command("a"), "/bin/sh: /bin/sh -e -c a"},
		{"argv", `"shell": "/bin/sh"`, argv("ls", "-l", "a b"), "ls: ls -l 'a b'"},
		{"argv past a list", `"shell": ["/bin/sh", "-r"]`, argv("ls"), "shell"},
		{"argv past a shell of its own", `"shell": "` + shellAt + `"`, argv("ls"), "shell"},
		{"command to a shell of its own", `"shell": "` + shellAt + `"`, command("ls"), shellAt + ": mysh -c ls"},
		{"argv past rbash", `"shell": "/bin/rbash"`, argv("ls"), "shell"},
		{"missing shell", `"shell": "/nonexistent/sh"`, interactive, "shell"},
		{"missing shell, command", `"shell": "/nonexistent/sh"`, command("ls"), "shell"},
		{"shell that is a directory", `"shell": "/bin"`, interactive, "shell"},
		{"shell that is no program", `"shell": "/etc/passwd"`, interactive, "shell"},
		{"both", ``, shell.OpenRequest{Argv: []string{"a"}, Command: "b"}, "open_request"},

		{"listed", `"commands": ["uptime"]`, argv("uptime"), "uptime: uptime"},
		{"listed, as a string", `"commands": ["uptime"]`, command(" uptime "), "uptime: uptime"},
		{"listed, more arguments", `"commands": ["uptime"]`, argv("uptime", "-p"), "command"},
		{"listed, no shell", `"commands": ["uptime"]`, interactive, "action"},
		{"nothing listed", `"commands": []`, argv("uptime"), "command"},
		{"one argument", `"commands": [["systemctl", "status", "*"]]`, command("systemctl status 'a b'"), "systemctl: systemctl status 'a b'"},
		{"one argument, none", `"commands": ["systemctl status *"]`, argv("systemctl", "status"), "command"},
		{"one argument, two", `"commands": ["systemctl status *"]`, argv("systemctl", "status", "a", "b"), "command"},
		{"the rest", `"commands": ["rsync --server **"]`, argv("rsync", "--server", "a", "b"), "rsync: rsync --server a b"},
		{"the rest, none", `"commands": ["rsync --server **"]`, argv("rsync", "--server"), "rsync: rsync --server"},
		{"another program", `"commands": ["/usr/bin/uptime"]`, argv("uptime"), "command"},
		{"a quoted star", `"commands": ["echo '*'"]`, argv("echo", "x"), "command"},
		{"a quoted star itself", `"commands": ["echo '*'"]`, argv("echo", "*"), "echo: echo '*'"},
		{"injection", `"commands": ["ls **"]`, command("ls a; rm -rf /"), "command"},
		{"substitution", `"commands": ["ls **"]`, command("ls $(id)"), "command"},
		{"substitution in quotes", `"commands": ["ls **"]`, command("ls \"$(id)\""), "command"},
		{"a quoted metacharacter", `"commands": ["ls **"]`, command("ls ';rm'"), "ls: ls ';rm'"},
		{"a second line", `"commands": ["ls **"]`, command("ls\nid"), "command"},
		{"no shell needed", `"shell": "/nonexistent/sh", "commands": ["ls"]`, argv("ls"), "ls: ls"},

		{"forced", `"shell": "/bin/sh", "forceCommand": "menu --x"`, interactive, "/bin/sh: sh -c 'menu --x'"},
		{"forced list", `"forceCommand": ["/usr/bin/menu", "x"]`, command("ls"), "/usr/bin/menu: /usr/bin/menu x"},
		{"forced list, argv", `"shell": ["x", "y"], "forceCommand": ["/usr/bin/menu"]`, argv("ls", "a b"), "/usr/bin/menu: /usr/bin/menu"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, key := one(t, tt.members, nil)
			q := ask(p, "s", key)
			q.Open = tt.open
			g, err := p.Decide(t.Context(), q)
			got := g.Path + ": " + join(g.Argv)
			if err != nil {
				got = string(reasonOf(err))
			}
			if got != tt.want {
				t.Errorf("got %s (%v), want %s", got, err, tt.want)
			}
			original := slices.ContainsFunc(g.Env, func(v string) bool { return strings.HasPrefix(v, "SHELLAGENT_ORIGINAL_COMMAND=") })
			if asked := commandText(tt.open); err == nil && original != (strings.HasPrefix(tt.name, "forced") && asked != "") {
				t.Errorf("original command in %q", g.Env)
			} else if original && (!slices.Contains(g.Env, "SHELLAGENT_ORIGINAL_COMMAND="+asked) || !slices.Contains(g.Env, "SSH_ORIGINAL_COMMAND="+asked)) {
				t.Errorf("original command %q in %q", asked, g.Env)
			}
		})
	}
}

func TestARefusedCommandTellsWhy(t *testing.T) {
	p, key := one(t, `"commands": ["ls"]`, nil)
	q := ask(p, "s", key)
	q.Open.Command = "ls | wc"
	_, err := p.Decide(t.Context(), q)
	var denied *shell.Denied
	if !errors.As(err, &denied) || !strings.Contains(denied.Public, `unquoted '|' has a meaning to a shell`) {
		t.Errorf("got %+v", denied)
	}
}

func TestWhomASourceRunsAs(t *testing.T) {
	h := host()
	h.states["bob"] = account.State{Locked: true}
	subject := func(name string) *Policy {
		key, line := newKey(t, "")
		p := mustParse(t, `{"sources": {"s": {"exec": {"user": "$subject"}}}, "verifyKeys": [{"subject": "`+name+`", "keys": ["$k!"]}]}`,
			map[string]string{"k": line}, Options{Accounts: h})
		q := ask(p, "s", key)
		g, err := p.Decide(t.Context(), q)
		switch name {
		case "alice", "www-data":
			if err != nil || g.Credential.User != name || g.Credential.UID != h.users[name].UID {
				t.Errorf("%s: %+v, %v", name, g.Credential, err)
			}
		default:
			wantDenied(t, p, q, shell.ReasonUser)
		}
		return p
	}
	for _, name := range []string{"alice", "www-data", "bob", "nobody-here", "root"} {
		subject(name)
	}
	key, line := newKey(t, "root")
	p := mustParse(t, `{"sources": {"s": {"exec": {"user": "$subject"}}}, "verifyKeys": ["$k!"]}`, map[string]string{"k": line}, Options{Accounts: h})
	wantDenied(t, p, ask(p, "s", key), shell.ReasonUser) // a label is no subject

	p, key = one(t, `"exec": {"user": "root"}`, h)
	if g := mustDecide(t, p, ask(p, "s", key)); g.Credential.UID != 0 || !slices.Contains(g.Env, "PATH="+rootPath) {
		t.Errorf("root: %+v", g)
	}
	p, key = one(t, ``, h)
	for _, state := range []account.State{{Locked: true}, {Expired: true}} {
		h.states["operator"] = state
		wantDenied(t, p, ask(p, "s", key), shell.ReasonUser)
	}
	delete(h.states, "operator")
	delete(h.users, "operator")
	wantDenied(t, p, ask(p, "s", key), shell.ReasonUser)
	_, err := p.Decide(t.Context(), ask(p, "s", key))
	if errors.Is(err, ErrUndecided) {
		t.Error("a user who is gone is decided")
	}
	h.fail = errors.New("away")
	if _, err := p.Decide(t.Context(), ask(p, "s", key)); !errors.Is(err, ErrUndecided) {
		t.Errorf("a host that does not answer: %v", err)
	}
	wantDenied(t, p, ask(p, "s", key), shell.ReasonLookup)
}

func TestALiveSessionIsAskedAboutPolicyAlone(t *testing.T) {
	at := filepath.Join(t.TempDir(), "sh")
	if err := os.WriteFile(at, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	h := host()
	h.shells = append(h.shells, at)
	p, key := one(t, `"shell": "`+at+`"`, h)
	for _, open := range []shell.OpenRequest{{}, {Command: "x"}, {Argv: []string{"x"}}} {
		q := ask(p, "s", key)
		q.Open = open
		before := mustDecide(t, p, q)
		if err := os.Rename(at, at+".gone"); err != nil {
			t.Fatal(err)
		}
		if open.Argv == nil {
			wantDenied(t, p, q, shell.ReasonShell)
		}
		q.Again = true
		if again := mustDecide(t, p, q); !slices.Equal(again.Argv, before.Argv) {
			t.Errorf("again %q, before %q", again.Argv, before.Argv)
		}
		if err := os.Rename(at+".gone", at); err != nil {
			t.Fatal(err)
		}
	}
	tighter, _ := one(t, ``, h)
	q := ask(tighter, "s", key)
	q.Again = true
	wantDenied(t, tighter, q, shell.ReasonUnknownKey)
}

// TestOneSourcesKeyNeverOpensAnother is Etcha's bug: the source's keys were
// appended to the slice of global keys, whose array concurrent requests shared,
// and 667 of 9,274 requests were let in by another source's key.
func TestOneSourcesKeyNeverOpensAnother(t *testing.T) {
	lines := map[string]string{}
	keys := map[string]jwtauth.PublicKey{}
	var text strings.Builder
	text.WriteString(`{"exec": {"user": "operator"}, "verifyKeys": ["$g0!", "$g1!", "$g2!"], "sources": {`)
	for i := range 3 {
		name := fmt.Sprintf("g%d", i)
		keys[name], lines[name] = newKey(t, name)
	}
	const n = 12
	for i := range n {
		name := fmt.Sprintf("s%d", i)
		keys[name], lines[name] = newKey(t, name)
		fmt.Fprintf(&text, `"%s": {"verifyKeys": ["$%s!"]},`, name, name)
	}
	text.WriteString("}}")
	p := mustParse(t, text.String(), lines, Options{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			mine := fmt.Sprintf("s%d", i)
			for round := range 300 {
				for j := range n {
					source := fmt.Sprintf("s%d", (i+j)%n)
					_, err := p.Decide(t.Context(), ask(p, source, keys[mine]))
					if (err == nil) != (source == mine) || err != nil && reasonOf(err) != shell.ReasonSourceKey {
						t.Errorf("key of %s on %s: %v", mine, source, err)
						return
					}
				}
				if _, err := p.Decide(t.Context(), ask(p, mine, keys[fmt.Sprintf("g%d", round%3)])); err != nil {
					t.Errorf("global key on %s: %v", mine, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkDecide(b *testing.B) {
	p, key := one(b, `"shell": "/bin/sh"`, nil)
	q := ask(p, "s", key)
	for b.Loop() {
		if _, err := p.Decide(b.Context(), q); err != nil {
			b.Fatal(err)
		}
	}
}
