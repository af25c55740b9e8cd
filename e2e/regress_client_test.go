package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What else scripts count on, each by the option or the behaviour.
func TestRegressClient(t *testing.T) {
	u := newSSHUser(t, nil)
	closed := fmt.Sprint(freePort(t))
	log := filepath.Join(u.dir, "log")
	for _, c := range []struct {
		name, stdin string
		args        []string
		stdout      string
		stderr      string // a part of it, or "" for none at all
		code        int
	}{
		{"connect", "", []string{"myhost", "true"}, "", "", 0},
		{"connect-uri", "", []string{"ssh://debug@myhost:" + fmt.Sprint(u.port), "echo x"}, "x\n", "", 0},
		{"connect-uri with a path", "", []string{"ssh://debug@myhost/path", "true"}, "", "usage", 255},
		{"the remote 255", "", []string{"myhost", "exit 255"}, "", "", 255},
		{"not executable", "", []string{"myhost", "/etc/passwd"}, "", "Permission denied", 126},
		{"an empty command is a shell", "echo $0\n", []string{"-T", "myhost", ""}, "-bash\n", "", 0},
		{"words that are empty", "", []string{"myhost", "printf", "%s.", "''", "a", "''"}, ".a..", "", 0},
		{"a line of several", "", []string{"myhost", "echo a\necho b"}, "a\nb\n", "", 0},
		{"special characters", "", []string{"myhost", `printf %s 'é $x ` + "`id`" + ` \ "*?' "~"`}, "é $x `id` \\ \"*?~", "", 0},
		{"-n before a pipe", "in", []string{"-n", "myhost", "cat"}, "", "", 0},
		{"-v says more", "", []string{"-v", "myhost", "true"}, "", "session ", 0},
		{"-q says no errors of ssh's", "", []string{"-q", "myhost", "echo err >&2"}, "", "err\n", 0},
		{"-E into a file", "", []string{"-v", "-E", log, "myhost", "true"}, "", "", 0},
		{"LogLevel=QUIET", "", []string{"-oLogLevel=QUIET", "myhost", "true"}, "", "", 0},
		{"BatchMode", "", []string{"-oBatchMode=yes", "myhost", "echo x"}, "x\n", "", 0},
		{"keepalives are ours", "", []string{"-oServerAliveInterval=1", "-oServerAliveCountMax=3", "-oTCPKeepAlive=no", "myhost", "echo x"}, "x\n", "", 0},
		{"ConnectionAttempts", "", []string{"-oConnectionAttempts=2", "-p", closed, "myhost", "true"}, "", "refused", 255},
		{"StrictHostKeyChecking=ask, nobody there", "", []string{"-oUserKnownHostsFile=/dev/null", "-oStrictHostKeyChecking=ask", "-oBatchMode=yes", "myhost", "true"}, "", "not known", 255},
		{"addresses of one kind", "", []string{"-6", "-oHostName=127.0.0.1", "-oStrictHostKeyChecking=no", "myhost", "true"}, "", "127.0.0.1", 255},
		{"no such host", "", []string{"-oHostName=no-such-host.invalid", "-oUserKnownHostsFile=/dev/null", "myhost", "true"}, "", "no-such-host.invalid", 255},
		{"an option that is malformed", "", []string{"-oPort=many", "myhost", "true"}, "", "any", 255},
		{"a value that is missing", "", []string{"-p"}, "", "option requires an argument -- p", 255},
		{"a letter that is none", "", []string{"-z", "myhost"}, "", "usage", 255},
		{"addressed twice", "", []string{"-l", "debug", "nosuch@myhost", "echo x"}, "x\n", "", 0},
		{"Tag, Match and others are taken", "", []string{"-oTag=x", "-oCanonicalizeHostname=no", "-oVisualHostKey=no", "-oIPQoS=none", "-oRekeyLimit=1G", "myhost", "echo x"}, "x\n", "", 0},
		{"localcommand", "", []string{"-oPermitLocalCommand=yes", "-oLocalCommand=echo local %n", "myhost", "echo there"}, "local myhost\nthere\n", "", 0},
		{"localcommand, not permitted", "", []string{"-oLocalCommand=echo local", "myhost", "echo there"}, "there\n", "", 0},
		{"localcommand that fails", "", []string{"-oPermitLocalCommand=yes", "-oLocalCommand=exit 3", "myhost", "exit 4"}, "", "", 4},
		{"localcommand of -f has nothing to hold", "", []string{"-f", "-oPermitLocalCommand=yes", "-oLocalCommand=test -e /proc/$$/fd/3 && echo held || echo free", "myhost", "true"}, "free\n", "", 0},
		{"percent", "", []string{"-oRemoteCommand=echo %%/%h/%n/%p/%r", "myhost"}, "%/127.0.0.1/myhost/" + fmt.Sprint(u.port) + "/debug\n", "", 0},
	} {
		got := u.call(c.stdin, append([]string{u.ssh}, c.args...)...)
		if got.stdout != c.stdout || got.code != c.code || !strings.Contains(got.stderr, c.stderr) || c.stderr == "" && got.stderr != "" {
			t.Errorf("%s: %+v, want %q, %q and %d", c.name, got, c.stdout, c.stderr, c.code)
		}
	}
	if text, err := os.ReadFile(log); err != nil || !strings.Contains(string(text), "session ") {
		t.Errorf("-E: %q %v", text, err)
	}
}

// Command lines as long as tools make them.
func TestRegressLongCommand(t *testing.T) {
	u := newSSHUser(t, nil)
	for _, size := range []int{1000, 30_000, 100_000} {
		word := strings.Repeat("x", size)
		if got := u.call("", u.ssh, "myhost", "printf %s "+word+" | wc -c"); strings.TrimSpace(got.stdout) != fmt.Sprint(size) {
			t.Errorf("%d bytes: %+v", size, result{tail(got.stdout, 100), tail(got.stderr, 300), got.code})
		}
	}
	var many []string
	for i := range 20_000 {
		many = append(many, fmt.Sprint(i))
	}
	if got := u.call("", append([]string{u.ssh, "myhost", "echo"}, many...)...); strings.TrimSpace(got.stdout) != strings.Join(many, " ") {
		t.Errorf("many words: %d bytes, %s", len(got.stdout), tail(got.stderr, 300))
	}
}

// ConnectTimeout ends what does not answer, at each step.
func TestRegressConnectTimeout(t *testing.T) {
	t.Parallel() // it mostly waits
	u := newSSHUser(t, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0") // whose connections nobody takes
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
	for name, args := range map[string][]string{
		"no TLS":               {"-oConnectTimeout=1", "-p", port, "myhost", "true"},
		"no answer":            {"-oConnectTimeout=1", "-oHostName=240.0.0.1", "myhost", "true"},
		"a proxy that is dead": {"-oConnectTimeout=1", "-oProxyCommand=sleep 100", "-oUserKnownHostsFile=/dev/null", "myhost", "true"},
	} {
		if got := u.call("", append([]string{u.ssh}, args...)...); got.code != 255 || got.stderr == "" {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// -f: what is asked or refused comes first, then ssh goes to the background and
// the program goes on without its input.
func TestRegressBackground(t *testing.T) {
	u := newSSHUser(t, nil)
	there, out := filepath.Join(u.remoteDir(), "there"), filepath.Join(u.dir, "out")
	read := func(path string) string { text, _ := os.ReadFile(path); return string(text) }
	if got := u.sh("$SSH -f myhost 'sleep 0.5; echo late; echo x >" + there + "; cat' >" + out + " 2>&1; echo $?; cat " + out); got.stdout != "0\n" {
		t.Errorf("it returns %+v", got)
	}
	u.waitFor("the program's end", func() bool { return read(there) == "x\n" && read(out) == "late\n" })
	if got := u.sh("printf 'a\\nb\\n' | while read l; do $SSH -f myhost \"echo $l >>" + there + "\" >/dev/null 2>&1; done"); got.code != 0 {
		t.Errorf("in a loop: %+v", got)
	}
	u.waitFor("both of the loop", func() bool { return strings.Contains(read(there), "a\n") && strings.Contains(read(there), "b\n") })
	for _, args := range []string{"-f nosuch@myhost true", "-f -p " + fmt.Sprint(freePort(t)) + " myhost true", "-f myhost"} {
		if got := u.sh("$SSH " + args + " >" + out + " 2>&1"); got.code != 255 {
			t.Errorf("%s: %+v", args, got)
		}
	}
}
