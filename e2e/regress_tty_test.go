package e2e

import (
	"strings"
	"testing"
)

// Which calls have a terminal, and what it is: ssh-tty.sh.
func TestRegressSSHTTY(t *testing.T) {
	need(t, "script")
	u := newSSHUser(t, nil)
	const show = `if tty -s; then echo "tty $TERM $([ "$SSH_TTY" = "$(tty)" ] && echo same)"; else echo "none${SSH_TTY}"; fi`
	for _, c := range []struct {
		options  []string
		terminal bool // here
		want     string
	}{
		{nil, false, "none\n"},
		{[]string{"-t"}, false, "none\n"},
		{[]string{"-tt"}, false, "tty xterm-256color same\r\n"},
		{[]string{"-oRequestTTY=force"}, false, "tty xterm-256color same\r\n"},
		{[]string{"-oRequestTTY=yes"}, false, "none\n"},
		{nil, true, "none\r\n"},
		{[]string{"-t"}, true, "tty xterm-256color same\r\n"},
		{[]string{"-oRequestTTY=yes"}, true, "tty xterm-256color same\r\n"},
		{[]string{"-oRequestTTY=auto"}, true, "none\r\n"},
		{[]string{"-oRequestTTY=no", "-t"}, true, "tty xterm-256color same\r\n"},
		{[]string{"-tt", "-T"}, true, "none\r\n"},
	} {
		line := append(append([]string{u.ssh, "-q"}, c.options...), "myhost", show)
		if c.terminal {
			var words []string
			for _, word := range line {
				words = append(words, "'"+word+"'")
			}
			line = []string{"script", "-qec", strings.Join(words, " "), "/dev/null"}
		}
		if got := u.call("", line...); strings.TrimPrefix(got.stdout, "^@") != c.want || got.code != 0 { // script tells of its input's end
			t.Errorf("%q on a terminal %v: %+v, want %q", c.options, c.terminal, got, c.want)
		}
	}
}

// What is typed: input, Ctrl-C, Ctrl-D, Ctrl-Z, a window that changes, the escapes.
func TestRegressSSHTTYTyped(t *testing.T) {
	u := newSSHUser(t, nil)
	s := newScreen(t, u.host, "env", "PS1=local$ ", "bash", "--norc", "-i")
	s.see("local$")
	s.line(u.ssh + " -q -F " + u.client + " myhost")
	s.remotePrompt()
	s.line("clear; stty size; echo $TERM")
	s.see("30 100")
	s.resize(90, 20)
	s.line("clear; stty size; echo af''ter")
	s.see("after")
	s.see("20 90")
	s.line("clear; echo rea''dy; cat")
	s.see("ready")
	s.line("typed line")
	s.see("typed line\ntyped line")
	s.keys("C-d")
	s.line("clear; echo en''ded; sleep 1000")
	s.see("ended")
	s.keys("C-c")
	s.line("echo status $?")
	s.see("status 130")
	s.keys("Enter", "~", "?")
	s.see("~.")
	s.line("clear; echo still he''re")
	s.see("still here")
	s.line("exit 6")
	s.see("local$")
	s.line("code=$?; clear; echo code=$code")
	s.see("code=6")
	// ~. leaves at once.
	s.line("clear; " + u.ssh + " -q -F " + u.client + " myhost")
	s.remotePrompt()
	s.keys("Enter", "~", ".")
	s.see("local$")
	s.line("code=$?; clear; echo code=$code")
	s.see("code=255")
	// Another escape character, and none.
	s.line("clear; " + u.ssh + " -q -e % -F " + u.client + " myhost")
	s.remotePrompt()
	s.line("~.nothing")
	s.see("~.nothing")
	s.keys("Enter", "%", ".")
	s.see("local$")
}

// A script on a terminal's standard input, as expect and CI runners send it.
func TestRegressSSHTTYScripted(t *testing.T) {
	u := newSSHUser(t, nil)
	for stdin, want := range map[string]int{"exit 3\n": 3, "echo x\nexit 4\n": 4, "kill -9 $$\n": 255} {
		if got := u.call(stdin, u.ssh, "-tt", "-q", "myhost"); got.code != want {
			t.Errorf("%q: %+v", stdin, got)
		}
	}
	got := u.call("", "sh", "-c", "(echo one; sleep 0.3; echo two) | "+u.ssh+" -tt -q myhost 'stty -echo; read a; read b; echo $a-$b'")
	if got.code != 0 || !strings.HasSuffix(got.stdout, "one-two\r\n") {
		t.Errorf("%+v", got)
	}
}
