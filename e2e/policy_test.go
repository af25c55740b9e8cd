package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// policed is a host with sources besides debug, each as debug with more.
func policed(more map[string]object) func(h *host, config object) {
	return func(h *host, config object) {
		all := object{"debug": h.debugSource()}
		for name, members := range more {
			one := h.debugSource()
			for k, v := range members {
				one[k] = v
			}
			all[name] = one
		}
		config["sources"] = all
		config["audit"] = object{}
	}
}

// Whatever a client asks for, one program runs, and is told what that was.
func TestForcedCommandOverTheWire(t *testing.T) {
	script := filepath.Join(t.TempDir(), "forced")
	if err := os.WriteFile(script, []byte(`#!/bin/sh
[ "$SSH_ORIGINAL_COMMAND" = "$SHELLAGENT_ORIGINAL_COMMAND" ] || exit 9
printf '%s|%s|' "$#" "$SHELLAGENT_ORIGINAL_COMMAND"
cat
`), 0o755); err != nil {
		t.Fatal(err)
	}
	for dir := script; dir != "/"; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm()&0o005 != 0o005 {
			_ = os.Chmod(dir, 0o755)
		}
	}
	h := startHost(t, policed(map[string]object{
		"list":   {"forceCommand": []string{script, "one"}},
		"string": {"forceCommand": script + " one two | tr a-z A-Z"},
	}))
	const rsync = `rsync --server -vlogDtpre.iLsfxCIvu --log-format=X . '/srv/it'\''s here'`
	tests := []struct {
		source, want string
		args         []string
	}{
		{"list", "1|" + rsync + "|in", []string{"--command", rsync}},
		{"list", "1|rsync --server --sender . '/srv/a b'|in", []string{"--", "rsync", "--server", "--sender", ".", "/srv/a b"}},
		{"list", "1|id; $(reboot) `id` > /etc/passwd|in", []string{"--command", "id; $(reboot) `id` > /etc/passwd"}},
		{"list", "1|a\nb|in", []string{"--command", "a\nb"}},
		{"string", "2|GIT-UPLOAD-PACK 'A.GIT'|IN", []string{"--command", "git-upload-pack 'a.git'"}},
	}
	for _, tt := range tests {
		got := h.exec(strings.NewReader("in"), append([]string{tt.source, "myhost"}, tt.args...)...)
		if got.stdout != tt.want || got.code != 0 {
			t.Errorf("%s %q: %q, code %d, %s; want %q", tt.source, tt.args, got.stdout, got.code, got.stderr, tt.want)
		}
	}
	// The client's variables do not get in the way of what the agent says.
	got := h.exec(strings.NewReader(""), "-e", "SSH_ORIGINAL_COMMAND=x", "-e", "SHELLAGENT_ORIGINAL_COMMAND=y", "list", "myhost", "--", "z")
	if got.stdout != "1|z|" {
		t.Errorf("%+v", got)
	}
}

// A list of commands is all that runs: what a shell would make of a string is
// refused before anything starts.
func TestListedCommandsOverTheWire(t *testing.T) {
	h := startHost(t, policed(map[string]object{"listed": {"commands": []any{
		"echo **", []string{"printf", "%s", "*"}, "true",
	}}}))
	for command, want := range map[string]string{
		"echo a  'b  c' \"d\"": "a b  c d\n", "echo '$HOME;*'": "$HOME;*\n", "printf %s x": "x", "true": "", "echo": "\n",
		"echo 'a\nb'": "a\nb\n", "echo 'a\\b'": "a\\b\n",
	} {
		if got := h.exec(nil, "listed", "myhost", "--command", command); got.stdout != want || got.code != 0 {
			t.Errorf("%q: %q, code %d, %s", command, got.stdout, got.code, got.stderr)
		}
	}
	if got := h.exec(nil, "listed", "myhost", "--", "echo", "$HOME", "; id", "*", "`id`"); got.stdout != "$HOME ; id * `id`\n" {
		t.Errorf("arguments are not what was sent: %+v", got)
	}
	for _, command := range []string{
		"echo a; id", "echo a && id", "echo a | id", "echo $(id)", "echo `id`", `echo "$(id)"`, "echo $HOME", "echo a\nid", "echo a\rid",
		`echo a\ b`, "echo *", "echo ?", "echo [a]", "echo ~", "echo {a,b}", "echo a > /tmp/x", "echo <x", "echo #x", "echo 'a", "A=1 echo", "!id", "(id)",
		"id", "printf %s", "printf %s a b", "printf %d 1", "true x", "/bin/echo a", " ", "sh -c id", "exec echo a",
	} {
		got := h.exec(nil, "listed", "myhost", "--command", command)
		if got.code != 255 || got.stdout != "" || !strings.Contains(got.stderr, "does not allow") {
			t.Errorf("%q: %+v", command, got)
		}
	}
	if got := h.runClient(strings.NewReader("id\n"), "shell", "--accept-new", "listed", "myhost"); got.code != 255 || got.stdout != "" || !strings.Contains(got.stderr, "the source does not allow shell: it allows exec") {
		t.Errorf("a shell: %+v", got)
	}
	h.told("request.refused", map[string]any{"reason": "command", "source": "listed"})
	h.told("request.refused", map[string]any{"reason": "action", "source": "listed"})
}

// The client's variables are those that acceptEnv names; exec.env wins.
func TestVariablesOverTheWire(t *testing.T) {
	exec := object{"env": object{"MY_OWN": "the host's"}}
	if os.Geteuid() == 0 {
		exec["user"] = "operator"
	}
	h := startHost(t, policed(map[string]object{
		"some": {"acceptEnv": []string{"MY_*", "TZ", "GIT_PROTOCOL", "ONE?"}, "exec": exec},
		"all":  {"acceptEnv": []string{"*"}},
	}))
	sent := []string{"-e", "MY_A=1 2", "-e", "MY_OWN=client", "-e", "TZ=UTC", "-e", "ONEX=1", "-e", "ONEXY=2", "-e", "LANG=C", "-e", "OTHER=x",
		"-e", "LD_PRELOAD=/x.so", "-e", "LD_LIBRARY_PATH=/x", "-e", "BASH_ENV=/x", "-e", "GIT_SSH_COMMAND=x", "-e", "GIT_PROTOCOL=version=2", "-e", "PATH=/x", "-e", "IFS=x"}
	env := func(source string) string {
		got := h.exec(nil, append(append([]string{}, sent...), source, "myhost", "--", "env")...)
		if got.code != 0 {
			t.Fatalf("%+v", got)
		}
		return "\n" + got.stdout
	}
	some, all := env("some"), env("all")
	for _, want := range []string{"MY_A=1 2", "MY_OWN=the host's", "TZ=UTC", "ONEX=1", "GIT_PROTOCOL=version=2"} {
		if !strings.Contains(some, "\n"+want+"\n") {
			t.Errorf("%s is missing:%s", want, some)
		}
	}
	for _, refused := range []string{"LANG=", "OTHER=", "ONEXY="} {
		if strings.Contains(some, "\n"+refused) {
			t.Errorf("%s was taken:%s", refused, some)
		}
	}
	if !strings.Contains(all, "\nOTHER=x\n") || !strings.Contains(all, "\nMY_OWN=client\n") {
		t.Errorf("not all was taken:%s", all)
	}
	for _, refused := range []string{"LD_PRELOAD=", "LD_LIBRARY_PATH=", "BASH_ENV=", "GIT_SSH_COMMAND=", "PATH=/x\n", "IFS="} {
		if strings.Contains(some+all, "\n"+refused) {
			t.Errorf("%s was taken:%s", refused, some+all)
		}
	}
}

// A banner is shown before a session, to the person: never among its output.
func TestBannerOverTheWire(t *testing.T) {
	file := filepath.Join(t.TempDir(), "issue")
	if err := os.WriteFile(file, []byte("Authorized use only\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	h := startHost(t, func(h *host, config object) {
		policed(map[string]object{
			"text": {"banner": "All \x1b[31mof it\x1b]0;x\a\n\tis recorded\u202e, \u00e4\n\nagain"},
		})(h, config)
		debug := h.debugSource()
		debug["banner"] = object{"file": file}
		config["sources"].(object)["debug"] = debug
	})
	got := h.exec(strings.NewReader("in"), "text", "myhost", "--", "cat")
	if got.stdout != "in" || !strings.HasSuffix(got.stderr, "All [31mof it]0;x\n    is recorded, ä\n\nagain\n") {
		t.Errorf("%+v", got)
	}
	if got := h.exec(strings.NewReader("in"), "-q", "text", "myhost", "--", "cat"); got.stdout != "in" || got.stderr != "" {
		t.Errorf("quiet: %+v", got)
	}
	s := shellScreen(t, h)
	s.see("Authorized use only\n")
	s.line("echo in''side")
	s.see("inside")
	if text := s.text(); strings.Count(text, "Authorized") != 1 || strings.Index(text, "Authorized") > strings.Index(text, "inside") {
		t.Errorf("the screen shows\n%s", text)
	}
	// The file is a part of the configuration, and is read again as it changes.
	if err := os.WriteFile(file, []byte("Read me anew\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	h.waitFor("the new banner", func() bool {
		return strings.Contains(h.exec(nil, "debug", "myhost", "--", "true").stderr, "Read me anew")
	})
}

// A right that is taken away is gone for live sessions too, and for those alone
// that use it.
func TestReloadTakesARightAway(t *testing.T) {
	h := startHost(t, policed(nil))
	s := shellScreen(t, h)
	s.remotePrompt()
	held := h.hold("debug", "myhost")
	allow := func(what object) {
		h.reconfigure(func(c object) { c["sources"].(object)["debug"].(object)["allow"] = what })
		if got := h.operator("reload"); got.code != 0 {
			t.Fatalf("%+v", got)
		}
	}
	allow(object{"exec": true})
	s.see("no longer allowed")
	s.see("local$")
	h.told("session.ended", map[string]any{"source": "debug", "reason": "no longer allowed by policy"})
	if got := h.runClient(strings.NewReader("id\n"), "shell", "debug", "myhost"); got.code != 255 || !strings.Contains(got.stderr, "does not allow shell") {
		t.Errorf("a shell: %+v", got)
	}
	if got := h.exec(nil, "debug", "myhost", "--", "echo", "still"); got.stdout != "still\n" {
		t.Errorf("a command: %+v", got)
	}
	select {
	case got := <-held:
		t.Fatalf("the command ended with the shell's right: %+v", got)
	default:
	}
	allow(object{"shell": true})
	if got := h.endedIn(held); !strings.Contains(got.stderr, "no longer allowed") {
		t.Errorf("the command ended with %+v", got)
	}
	if got := h.runClient(strings.NewReader("echo he''re\n"), "shell", "debug", "myhost"); got.stdout != "here\n" {
		t.Errorf("a shell again: %+v", got)
	}
}

// What is decided is what check explains.
func TestCheckExplainsActions(t *testing.T) {
	h := newHost(t, policed(map[string]object{
		"listed": {"commands": []string{"echo *"}},
		"sh":     {"allow": object{"shell": true}, "banner": "Hello\nyou"},
	}))
	check := func(args ...string) result {
		t.Helper()
		return h.operator(append([]string{"check", "--as", h.key + ".pub"}, args...)...)
	}
	// operator appends its -c, which "--" would make a part of the command.
	argv := func(source string, words ...string) result {
		t.Helper()
		return h.operator(append([]string{"check", "--as", h.key + ".pub", source, "--command"}, strings.Join(words, " "))...)
	}
	for _, tt := range []struct {
		got  result
		code int
		want string
	}{
		{check("debug"), 0, "shell is asked for; the source allows shell, exec, sftp"},
		{check("debug", "--subsystem", "sftp"), 0, "reads and writes files as "},
		{check("sh", "--subsystem", "sftp"), 1, "and sftp is asked for"},
		{check("listed"), 1, `the source "listed" allows exec, and shell is asked for`},
		{argv("listed", "echo", "x"), 0, "starts echo as echo x"},
		{argv("listed", "echo", "x;id"), 1, `unquoted ';' has a meaning to a shell`},
		{check("sh"), 0, "the source allows shell"},
		{argv("sh", "id"), 1, `the source "sh" allows shell, and exec is asked for`},
	} {
		if tt.got.code != tt.code || !strings.Contains(tt.got.stdout, tt.want) {
			t.Errorf("%+v; want %q", tt.got, tt.want)
		}
	}
	got := h.operator("check")
	for _, want := range []string{"only the commands: echo *", "\n  allows shell\n", "shows first: Hello …"} {
		if !strings.Contains(got.stdout, want) {
			t.Errorf("%q is missing:\n%s", want, got.stdout)
		}
	}
	var sum struct {
		Sources []struct {
			Name  string
			Allow []string
		}
	}
	if err := json.Unmarshal([]byte(h.operator("check", "--json").stdout), &sum); err != nil || len(sum.Sources) != 3 || strings.Join(sum.Sources[1].Allow, " ") != "exec" {
		t.Errorf("%+v, %v", sum, err)
	}
}
