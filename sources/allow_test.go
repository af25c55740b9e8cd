package sources

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"shellagent/shell"
)

func TestWhatMayBeAsked(t *testing.T) {
	const shellOnly, execOnly = `"allow": {"shell": true}`, `"allow": {"exec": true}`
	asked := map[shell.Action]shell.OpenRequest{
		shell.ActionShell: {}, shell.ActionExec: {Argv: []string{"true"}}, shell.ActionSFTP: {Subsystem: "sftp"}, shell.ActionForward: {Subsystem: "forward"},
	}
	tests := []struct {
		members string
		want    string // what is allowed
	}{
		{``, "shell, exec, sftp"},
		{`"allow": {"sftp": true}`, "sftp"},
		{`"allow": {"sftp": {}}`, "sftp"},
		{`"allow": {"exec": true, "sftp": false}`, "exec"},
		{`"commands": ["true"], "allow": {"exec": true, "sftp": {"readOnly": true}}`, "exec, sftp"},
		{`"allow": {"shell": true, "exec": true}`, "shell, exec"},
		{shellOnly, "shell"},
		{`"allow": {"shell": true, "exec": false}`, "shell"},
		{execOnly, "exec"},
		{`"allow": {}`, "nothing"},
		{`"allow": {"localForward": ["db:1"]}`, "forward"},
		{`"allow": {"remoteForward": ["*:*"], "agentForward": false}`, "forward"},
		{`"allow": {"agentForward": true, "exec": true}`, "exec, forward"},
		{`"forceCommand": "true", "allow": {"agentForward": true}`, "forward"},
		{`"commands": ["true"], "allow": {"exec": true, "localForward": ["db:1"]}`, "exec, forward"},
		{`"shell": "/usr/sbin/nologin", "allow": {"localForward": ["db:1"]}`, "forward"},
		{`"commands": ["true"]`, "exec"},
		{`"commands": ["true"], "allow": {"exec": true}`, "exec"},
		{`"forceCommand": "true"`, "shell, exec"},
		{`"forceCommand": "true", ` + execOnly, "exec"},
		{`"forceCommand": "true", ` + shellOnly, "shell"},
	}
	for _, tt := range tests {
		p, key := one(t, tt.members, nil)
		var allowed []shell.Action
		for _, action := range []shell.Action{shell.ActionShell, shell.ActionExec, shell.ActionSFTP, shell.ActionForward} {
			for _, again := range []bool{false, true} {
				q := ask(p, "s", key)
				q.Open, q.Again = asked[action], again
				_, err := p.Decide(t.Context(), q)
				var denied *shell.Denied
				switch {
				case err == nil && !again:
					allowed = append(allowed, action)
				case err == nil:
				case !errors.As(err, &denied) || denied.Reason != shell.ReasonAction || denied.Public != "the source does not allow "+string(action)+": it allows "+tt.want:
					t.Errorf("%s: %s, again %v: %+v", tt.members, action, again, denied)
				}
			}
		}
		if got := actionList(allowed); got != tt.want {
			t.Errorf("%s allows %s, want %s", tt.members, got, tt.want)
		}
		sum := p.Summary(t.Context(), at).Sources[0]
		if got := actionList(sum.Allow); got != tt.want || sum.Allow == nil || sum.Keys[0].Refused != "" || sum.Keys[0].User != "operator" {
			t.Errorf("%s: summary %+v", tt.members, sum)
		}
		if warned := slices.ContainsFunc(p.Warnings(), func(w string) bool { return strings.Contains(w, "allows nothing") }); warned != (tt.want == "nothing") {
			t.Errorf("%s: warnings %q", tt.members, p.Warnings())
		}
	}
}

// TestAStringOfSpacesIsACommand: what a shell would be given is no shell.
func TestAStringOfSpacesIsACommand(t *testing.T) {
	p, key := one(t, `"allow": {"shell": true}`, nil)
	for _, open := range []shell.OpenRequest{{Command: " "}, {Command: "exec sh"}, {Argv: []string{"/bin/sh"}}} {
		q := ask(p, "s", key)
		q.Open = open
		wantDenied(t, p, q, shell.ReasonAction)
	}
	q := ask(p, "s", key)
	q.Open.Argv = []string{}
	mustDecide(t, p, q)
}

// TestRulesKnowTheAction: rights by subject, claim or time are a rule's.
func TestRulesKnowTheAction(t *testing.T) {
	p, key := one(t, `"jwtRule": "action == 'exec' || claims.role == 'admin'"`, nil)
	for role, shellAllowed := range map[string]bool{"admin": true, "dev": false} {
		q := ask(p, "s", key)
		q.Claims = map[string]any{"role": role}
		if _, err := p.Decide(t.Context(), q); (err == nil) != shellAllowed {
			t.Errorf("%s: shell: %v", role, err)
		}
		q.Open.Command = "true"
		mustDecide(t, p, q)
	}
}

func TestBanner(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "issue")
	if err := os.WriteFile(file, []byte("from a file\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for members, want := range map[string]string{
		``: "", `"banner": ""`: "", `"banner": "Authorized use only.\nÄ"`: "Authorized use only.\nÄ",
		`"banner": {"file": "` + file + `"}`: "from a file\n", `"banner": {"file": "issue"}`: "from a file\n",
	} {
		key, line := newKey(t, "")
		p := mustParse(t, `{"exec": {"user": "operator"}, "verifyKeys": ["$k!"], "sources": {"s": {`+members+`}}}`,
			map[string]string{"k": line}, Options{Dir: dir})
		if g := mustDecide(t, p, ask(p, "s", key)); g.Banner != want {
			t.Errorf("%s: %q, want %q", members, g.Banner, want)
		}
		if sum := p.Summary(t.Context(), at).Sources[0]; sum.Banner != want {
			t.Errorf("%s: summary has %q", members, sum.Banner)
		}
		if watched := slices.Contains(p.Files(), file); watched != strings.Contains(members, "file") {
			t.Errorf("%s: files %q", members, p.Files())
		}
	}
	if err := os.Chmod(file, 0o666); err != nil {
		t.Fatal(err)
	}
	_, err := parse(t, `{"exec": {"user": "operator"}, "sources": {"s": {"banner": {"file": "`+file+`"}}}}`, nil, Options{})
	if err == nil || !strings.HasPrefix(err.Error(), "agent.json:1:") || !strings.Contains(err.Error(), "writable") {
		t.Errorf("a banner that anybody may write: %v", err)
	}
}
