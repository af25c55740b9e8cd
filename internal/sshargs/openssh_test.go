package sshargs

import (
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// openssh asks the real ssh what a command line means. ok is false when it is
// none of its own.
func openssh(t *testing.T, args []string) (settings map[string][]string, ok bool) {
	t.Helper()
	cmd := exec.Command("ssh", append([]string{"-F", "none", "-G"}, args...)...)
	cmd.Env = append(cmd.Environ(), "LC_ALL=C")
	out, err := cmd.Output()
	if err != nil {
		return nil, false
	}
	settings = map[string][]string{}
	for line := range strings.Lines(string(out)) {
		keyword, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		keyword = strings.ToLower(keyword)
		settings[keyword] = append(settings[keyword], value)
	}
	return settings, true
}

// spell brings what ssh -G prints into the form that this package has.
func spell(keyword string, values []string) []string {
	values = slices.Clone(values)
	for i, value := range values {
		switch {
		case value == "true":
			values[i] = "yes"
		case value == "false":
			values[i] = "no"
		case strings.HasSuffix(keyword, "forward"):
			values[i] = strings.NewReplacer("[", "", "]", "").Replace(strings.Join(strings.Fields(value), ":"))
		case keyword == "escapechar":
			values[i] = strings.ReplaceAll(value, `\^`, "^")
		case keyword == "loglevel" && value == "SILENT":
			values[i] = "QUIET"
		case keyword == "controlpath":
			values[i] = filepath.Base(value) // ours has its tilde still
		}
	}
	return values
}

// Every letter, and what -o has to say, mean what they mean to Debian's ssh.
func TestAsOpenSSH(t *testing.T) {
	if _, err := exec.LookPath("ssh"); err != nil {
		t.Fatal("ssh is missing: make test installs it when run as root")
	}
	lines := [][]string{
		{"-4", "h"}, {"-6", "h"}, {"-46", "h"}, {"-2", "h"}, {"-a", "h"}, {"-A", "h"}, {"-Aa", "h"}, {"-C", "h"}, {"-f", "h", "x"}, {"-f", "h"}, {"-fN", "h"}, {"-f", "-oRemoteCommand=x", "h"}, {"-g", "h"}, {"-K", "h"}, {"-k", "h"},
		{"-M", "h"}, {"-MM", "h"}, {"-n", "h"}, {"-N", "h"}, {"-q", "h"}, {"-s", "h", "sftp"}, {"-t", "h"}, {"-tt", "h"}, {"-t", "-t", "-t", "h"}, {"-tT", "h"}, {"-Tt", "h"},
		{"-v", "h"}, {"-vv", "h"}, {"-vvv", "h"}, {"-vvvv", "h"}, {"-qv", "h"}, {"-vq", "h"}, {"-x", "h"}, {"-X", "h"}, {"-Y", "h"}, {"-y", "h"},
		{"-b", "127.0.0.1", "h"}, {"-B", "lo", "h"}, {"-c", "aes128-ctr", "h"}, {"-D", "1080", "h"}, {"-D", "127.0.0.1:1080", "h"}, {"-e", "^c", "h"}, {"-e", "none", "h"}, {"-e", "x", "h"},
		{"-e", "x", "-e", "y", "h"}, {"-i", "/etc/passwd", "h"}, {"-i", "/etc/passwd", "-i/etc/group", "h"}, {"-J", "a,b", "h"}, {"-J", "u@a:22", "h"},
		{"-L", "80:h:81", "h"}, {"-L", "127.0.0.1:80:h:81", "-R", "82:h:83", "h"}, {"-l", "u", "h"}, {"-l", "u", "v@h"}, {"u@h", "-l", "v"}, {"-m", "hmac-sha2-256", "h"},
		{"-p", "99", "h"}, {"-p99", "h"}, {"-p", "99", "-p", "98", "h"}, {"-oPort=98", "-p", "99", "h"}, {"-p", "99", "-oPort=98", "h"}, {"-p", "0", "h"}, {"-S", "/tmp/x", "h"}, {"-S", "none", "h"},
		{"-S", "a", "-oControlPath=b", "h"}, {"-oControlPath=b", "-S", "a", "h"}, {"-W", "a:1", "h"},
		{"u@h"}, {"u@v@h"}, {"ssh://u@h:99"}, {"ssh://u@h:99/"}, {"ssh://h"}, {"ssh://u%20v@h"}, {"ssh://h:0"}, {"ssh://h/p"}, {"-p1", "ssh://h:2"}, {"@h"},
		{"h", "-p", "99"}, {"h", "-p", "99", "x", "-p", "98"}, {"--", "h", "-p", "99"}, {"h", "--", "-p", "99"}, {"-h"}, {"-p"}, {"-N", "-s", "h", "x"}, {"-s", "-N", "h", "x"},
		{"-oUser=u", "h"}, {"-oUser u", "h"}, {"-o", "User = u", "h"}, {"-oUser=\"u\"", "h"}, {"-oUser='u'", "h"}, {"-oUser=\"u v\"", "h"}, {`-oUser=u\ v`, "h"}, {`-oUser=u\v`, "h"}, {"-oUser=u # c", "h"},
		{"-oUser=\"u", "h"}, {"-oUser=", "h"}, {"-oUser=\"\"", "h"}, {"-oUser=u v", "h"}, {"-oUser", "h"}, {"-o", "", "h"}, {"-o", "#x", "h"}, {"-oUSER=u", "h"}, {"-ouser==u", "h"},
		{"-oBatchMode=yes", "h"}, {"-oBatchMode=TRUE", "h"}, {"-oBatchMode=x", "h"}, {"-obatchmode yes", "h"}, {"-oBatchMode=yes", "-oBatchMode=no", "h"},
		{"-oConnectTimeout=10", "h"}, {"-oConnectTimeout=1m30", "h"}, {"-oConnectTimeout=2H", "h"}, {"-oConnectTimeout=none", "h"}, {"-oConnectTimeout=1y", "h"}, {"-oServerAliveInterval=15", "-oServerAliveCountMax=2", "h"},
		{"-oControlMaster=auto", "-oControlPersist=60s", "-oControlPath=/tmp/x", "h"}, {"-oControlPersist=yes", "h"}, {"-oControlPersist=no", "h"}, {"-oControlPersist=0", "h"}, {"-oControlMaster=autoask", "h"},
		{"-oControlMaster=no", "-M", "h"}, {"-oSendEnv=A B", "-oSendEnv=C", "h"}, {"-oSetEnv=A=1 B=2", "-oSetEnv=C=3", "h"}, {"-oSetEnv=A=\"1 2\"", "h"},
		{"-oRequestTTY=force", "h"}, {"-oRequestTTY=auto", "-t", "h"}, {"-t", "-oRequestTTY=no", "h"}, {"-oRequestTTY=x", "h"}, {"-oSessionType=none", "h"}, {"-oSessionType=subsystem", "h", "x"},
		{"-oStdinNull=yes", "h"}, {"-oForkAfterAuthentication=yes", "h"}, {"-oStrictHostKeyChecking=accept-new", "h"}, {"-oStrictHostKeyChecking=no", "h"}, {"-oStrictHostKeyChecking=off", "h"},
		{"-oUserKnownHostsFile=/dev/null", "h"}, {"-oUserKnownHostsFile=/a /b", "h"}, {"-oLogLevel=error", "h"}, {"-oLogLevel=DEBUG1", "h"}, {"-oLogLevel=x", "h"}, {"-v", "-oLogLevel=ERROR", "h"}, {"-oLogLevel=ERROR", "-v", "h"},
		{"-oEscapeChar=none", "h"}, {"-oEscapeChar=^c", "h"}, {"-oEscapeChar=ab", "h"}, {"-e", "x", "-oEscapeChar=y", "h"}, {"-oEscapeChar=y", "-e", "x", "h"},
		{"-oRemoteCommand=a b", "h"}, {"-oRemoteCommand=a", "h", "b"}, {"-oProxyCommand=nc %h %p", "h"}, {"-oProxyCommand nc %h %p", "h"}, {"-oProxyCommand=none", "h"}, {"-oProxyCommand=a 'b", "h"},
		{"-oLocalForward=80 h:81", "h"}, {"-oDynamicForward=1080", "h"}, {"-oClearAllForwardings=yes", "h"}, {"-oForwardAgent=yes", "-a", "h"}, {"-oForwardX11=yes", "-x", "h"},
		{"-oHostname=x", "h"}, {"-oHostKeyAlias=x", "h"}, {"-oIdentitiesOnly=yes", "h"}, {"-oAddressFamily=inet", "-6", "h"}, {"-oAddressFamily=x", "h"}, {"-oTCPKeepAlive=no", "h"},
	}
	for _, name := range slices.Sorted(maps.Keys(tools(t))) {
		lines = append(lines, tools(t)[name])
	}
	plain, _ := openssh(t, []string{"h"})
	for _, args := range lines {
		compare(t, plain, args)
	}
}

// silent are keywords that ssh -G shows otherwise, or not at all.
var silent = []string{"stdinnull", "proxycommand", "setenv", "remotecommand"}

// derived are keywords that OpenSSH sets because of others.
var derived = []string{"host", "hostname", "serveraliveinterval", "updatehostkeys", "exitonforwardfailure", "clearallforwardings"}

func compare(t *testing.T, plain map[string][]string, args []string) {
	t.Helper()
	theirs, ok := openssh(t, args)
	ours, err := Parse(args)
	if ok != (err == nil) {
		t.Errorf("%q: OpenSSH takes it: %v; here: %v", args, ok, err)
		return
	}
	if !ok {
		return
	}
	if want := theirs["host"]; len(want) > 0 && want[0] != ours.Host {
		t.Errorf("%q: host %q, OpenSSH's is %q", args, ours.Host, want[0])
	}
	for _, setting := range ours.Settings {
		want, shown := theirs[setting.Keyword]
		if !shown && slices.Contains(silent, setting.Keyword) {
			continue
		}
		if !shown && (setting.Values[0] == "none" || ours.Settings.Yes("clearallforwardings")) {
			continue
		}
		got := setting.Values
		if setting.Keyword == "controlpath" {
			got = []string{filepath.Base(got[0])}
		}
		if keywords[setting.Keyword].kind == kindList && setting.Keyword != "setenv" {
			got = []string{strings.Join(got, " ")}
		}
		if want = spell(setting.Keyword, want); !slices.Equal(got, want) {
			t.Errorf("%q: %s is %q, OpenSSH's is %q", args, setting.Keyword, got, want)
		}
	}
	// What is not set here has OpenSSH's default there.
	for keyword, values := range theirs {
		if slices.Contains(derived, keyword) || ours.Settings.find(keyword) >= 0 {
			continue
		}
		if !slices.Equal(values, plain[keyword]) {
			t.Errorf("%q: %s is not set, OpenSSH's is %q instead of %q", args, keyword, values, plain[keyword])
		}
	}
}

// What -G answers is a part of what OpenSSH's does, line by line.
func TestAnswerAsOpenSSH(t *testing.T) {
	for _, args := range [][]string{
		{"u@h"},
		{"-tt", "-n", "-e", "^c", "-oControlMaster=auto", "-oSendEnv=A B", "-oSetEnv=C=1 D=2", "-oStrictHostKeyChecking=no", "-oConnectTimeout=10", "-p", "99", "-l", "u", "h"},
		{"-N", "-v", "-oBatchMode=no", "-oUserKnownHostsFile=/a /b", "-oProxyCommand=nc %h %p", "-A", "-C", "-i", "/etc/passwd", "u@h"},
	} {
		theirs, _ := openssh(t, args)
		c, err := Parse(args)
		if err != nil {
			t.Fatal(err)
		}
		port := 22
		if c.Settings.Get("port") != "" {
			port = 99
		}
		for line := range strings.Lines(c.Answer(Destination{Hostname: "h", Port: port, User: c.Settings.Get("user")})) {
			keyword, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
			if !slices.Contains(theirs[keyword], value) {
				t.Errorf("%q: %s is %q, OpenSSH's is %q", args, keyword, value, theirs[keyword])
			}
		}
	}
}
