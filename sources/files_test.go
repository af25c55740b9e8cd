package sources

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"shellagent/shell"
)

func askFiles(q Request) Request {
	q.Open = shell.OpenRequest{Subsystem: shell.SubsystemSFTP, Env: map[string]string{"LANG": "x", "LC_ALL": "y"}}
	return q
}

func TestWhatIsServed(t *testing.T) {
	for members, want := range map[string]*shell.Files{
		``:                        {},
		`"allow": {"sftp": true}`: {},
		`"allow": {"sftp": {"paths": ["/srv", "/a/b"]}}`:          {Paths: []string{"/srv", "/a/b"}},
		`"allow": {"sftp": {"readOnly": true}}`:                   {ReadOnly: true},
		`"shell": "/bin/rbash"`:                                   nil,
		`"shell": ["tmux"]`:                                       nil,
		`"shell": "/usr/sbin/nologin", "allow": {"sftp": {}}`:     {},
		`"shell": ["/bin/false"], "allow": {"sftp": {}}`:          {},
		`"commands": ["ls"], "allow": {"exec": true, "sftp": {}}`: {},
	} {
		p, key := one(t, members, nil)
		q := askFiles(ask(p, "s", key))
		if want == nil {
			wantDenied(t, p, q, shell.ReasonShell)
			continue
		}
		g := mustDecide(t, p, q)
		if !reflect.DeepEqual(g.Files, want) || g.Path != "" || !slices.Equal(g.Argv, []string{"sftp"}) || g.Credential.User != "operator" {
			t.Errorf("%s: %+v", members, g)
		}
		// Nothing of the client's goes into a process that keeps it within limits.
		if slices.ContainsFunc(g.Env, func(v string) bool { return strings.HasPrefix(v, "LANG=") || strings.HasPrefix(v, "LC_") }) {
			t.Errorf("%s: %q", members, g.Env)
		}
		if x := p.Explain(t.Context(), q); x.Grant == nil || !strings.Contains(lines(x), filesText(*want)) {
			t.Errorf("%s: %s", members, lines(x))
		}
	}
	p, key := one(t, `"jwtRule": "action == 'sftp' && command == 'sftp'"`, nil)
	mustDecide(t, p, askFiles(ask(p, "s", key)))
	wantDenied(t, p, ask(p, "s", key), shell.ReasonRule)
}

// One right for both ways to files, with one set of limits.
func TestCopyIsFilesToo(t *testing.T) {
	p, key := one(t, `"allow": {"sftp": {"readOnly": true, "paths": ["/srv"]}}, "jwtRule": "action == 'sftp' && command == 'copy'"`, nil)
	q := askFiles(ask(p, "s", key))
	q.Open.Subsystem = shell.SubsystemCopy
	g := mustDecide(t, p, q)
	if want := (&shell.Files{ReadOnly: true, Paths: []string{"/srv"}}); !reflect.DeepEqual(g.Files, want) || !slices.Equal(g.Argv, []string{"copy"}) {
		t.Errorf("%+v", g)
	}
	p, key = one(t, `"allow": {"exec": true}`, nil)
	q = askFiles(ask(p, "s", key))
	q.Open.Subsystem = shell.SubsystemCopy
	wantDenied(t, p, q, shell.ReasonAction)
}
