package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Which variables of the client reach the program: those that it sends and the
// source takes; what the source sets is not replaced.
func TestRegressEnvPass(t *testing.T) {
	u := newSSHUser(t, func(h *host, config object) {
		sources := config["sources"].(object)
		for name, accept := range map[string][]string{"one": {"_XX_A"}, "two": {"_XX_A", "_XX_B"}, "many": {"_XX_*"}, "none": {}} {
			source := h.debugSource()
			source["acceptEnv"] = accept
			withEnv(source, "_XX_D", "server")
			sources[name] = source
		}
	})
	u.env = append(u.env, "_XX_A=1", "_XX_B=2", "_XX_C=", "_XX_D=client")
	const show = `echo "${_XX_A-unset}/${_XX_B-unset}/${_XX_C-unset}/$_XX_D"`
	for _, c := range []struct {
		name, source string
		options      []string
		want         string
	}{
		{"sent, not taken", "none", []string{"-oSendEnv=_XX_A"}, "unset/unset/unset/server"},
		{"set, not taken", "none", []string{"-oSetEnv=_XX_A=9"}, "unset/unset/unset/server"},
		{"taken, not sent", "many", nil, "unset/unset/unset/server"},
		{"one sent, one taken", "one", []string{"-oSendEnv=_XX_A"}, "1/unset/unset/server"},
		{"two sent, one taken", "one", []string{"-oSendEnv=_XX_A", "-oSendEnv=_XX_B"}, "1/unset/unset/server"},
		{"two sent at once", "two", []string{"-oSendEnv=_XX_A _XX_B"}, "1/2/unset/server"},
		{"sent by a pattern", "many", []string{"-oSendEnv=_XX_[AB] _XX_?"}, "1/2//server"},
		{"sent, and not after all", "many", []string{"-oSendEnv=_XX_A _XX_B", "-oSendEnv=-_XX_B"}, "1/unset/unset/server"},
		{"set", "many", []string{"-oSetEnv=_XX_A=7"}, "7/unset/unset/server"},
		{"set, two at once, quoted", "many", []string{`-oSetEnv=_XX_A="a  b" _XX_B=c=d`}, "a  b/c=d/unset/server"},
		{"the first that sets counts", "many", []string{"-oSetEnv=_XX_A=1 _XX_A=2"}, "1/unset/unset/server"},
		{"set wins over sent", "many", []string{"-oSendEnv=_XX_A", "-oSetEnv=_XX_A=set"}, "set/unset/unset/server"},
		{"what the server sets wins", "many", []string{"-oSetEnv=_XX_D=client"}, "unset/unset/unset/server"},
		{"what the server sets wins over sent", "many", []string{"-oSendEnv=_XX_D"}, "unset/unset/unset/server"},
		{"special characters", "many", []string{`-oSetEnv=_XX_A="$(id) ';\\ é"`}, `$(id) ';\ é/unset/unset/server`},
	} {
		got := u.call("", append(append([]string{u.ssh, "-q"}, c.options...), c.source+"@myhost", show)...)
		if got.stdout != c.want+"\n" || got.code != 0 {
			t.Errorf("%s: %+v, want %s", c.name, got, c.want)
		}
	}
	// A value with an end of line, and one that is long.
	long := strings.Repeat("x", 20000)
	for _, value := range []string{"a\nb\n", long} {
		u.env = append(u.env, "_XX_A="+value)
		if got := u.call("", u.ssh, "-oSendEnv=_XX_A", "many@myhost", `printf %s "$_XX_A"`); got.stdout != value {
			t.Errorf("%d bytes of %d: %s", len(got.stdout), len(value), got.stderr)
		}
	}
	// What would change how programs are loaded is not taken, whatever the source says.
	if got := u.call("", u.ssh, "-oSetEnv=LD_PRELOAD=/tmp/x", "many@myhost", "echo $LD_PRELOAD"); got.stdout != "\n" {
		t.Errorf("LD_PRELOAD: %+v", got)
	}
}

// Whatever is asked for, the forced command runs, and is told what it was.
func TestRegressForceCommand(t *testing.T) {
	u := newSSHUser(t, func(h *host, config object) {
		sources := config["sources"].(object)
		for name, command := range map[string]any{"forced": `echo "forced: $SSH_ORIGINAL_COMMAND"; exit 5`, "argv": []string{"printenv", "SSH_ORIGINAL_COMMAND"}} {
			source := h.debugSource()
			source["forceCommand"] = command
			sources[name] = source
		}
	})
	for _, c := range []struct {
		args   []string
		stdout string
		code   int
	}{
		{[]string{"forced@myhost", "false"}, "forced: false\n", 5},
		{[]string{"forced@myhost", "a", "  b;", "'c d' $x"}, "forced: a   b; 'c d' $x\n", 5},
		{[]string{"forced@myhost"}, "forced: \n", 5},
		{[]string{"-tt", "forced@myhost", "vi"}, "forced: vi\r\n", 5},
		{[]string{"argv@myhost", "x y"}, "x y\n", 0},
		{[]string{"argv@myhost"}, "", 1},
		{[]string{"debug@myhost", "echo free"}, "free\n", 0},
	} {
		if got := u.call("", append([]string{u.ssh, "-q"}, c.args...)...); got.stdout != c.stdout || got.code != c.code {
			t.Errorf("%q: %+v, want %q and %d", c.args, got, c.stdout, c.code)
		}
	}
	// There is no way around it through another door.
	if got := u.call("pwd\n", "sftp", "-q", "-S", u.ssh, "-b", "-", "forced@myhost"); got.code == 0 {
		t.Errorf("sftp: %+v", got)
	}
	if got := u.call("", u.ssh, "-s", "forced@myhost", "sftp"); got.code != 255 {
		t.Errorf("-s sftp: %+v", got)
	}
}

// Which subsystem there is depends on the source, as on sshd's Match.
func TestRegressMatchSubsystem(t *testing.T) {
	u := newSSHUser(t, func(h *host, config object) {
		sources := config["sources"].(object)
		for name, allow := range map[string]object{"files": {"sftp": true}, "commands": {"exec": true}} {
			source := h.debugSource()
			source["allow"] = allow
			sources[name] = source
		}
	})
	hello := "\x00\x00\x00\x05\x01\x00\x00\x00\x03" // SSH_FXP_INIT, version 3
	if got := u.call(hello, u.ssh, "-s", "files@myhost", "sftp"); got.code != 0 || !strings.HasPrefix(got.stdout[4:], "\x02\x00\x00\x00\x03") {
		t.Errorf("sftp: %+v", got)
	}
	for _, c := range []struct {
		source, subsystem, says string
	}{
		{"commands", "sftp", "does not allow sftp"}, {"files", "no-such", "no-such"}, {"files", "sftp ", "sftp "}, {"commands", "no-such", "no-such"},
	} {
		if got := u.call("", u.ssh, "-s", c.source+"@myhost", c.subsystem); got.code != 255 || !strings.Contains(got.stderr, c.says) {
			t.Errorf("%s %s: %+v", c.source, c.subsystem, got)
		}
	}
	if got := u.call("", u.ssh, "files@myhost", "true"); got.code != 255 {
		t.Errorf("a command where there are files alone: %+v", got)
	}
}

// What people have to read comes before anything else, on standard error, whole.
func TestRegressBanner(t *testing.T) {
	file := filepath.Join(t.TempDir(), "banner")
	u := newSSHUser(t, func(h *host, config object) {
		if err := os.WriteFile(file, []byte("first\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		source := h.debugSource()
		source["banner"] = object{"file": file}
		config["sources"].(object)["told"] = source
	})
	for _, size := range []int{10, 100, 1000, 10000, 16000} {
		var text strings.Builder
		for i := 0; text.Len() < size; i++ {
			fmt.Fprintf(&text, "line %d of %d\n", i, size)
		}
		if err := os.WriteFile(file+".new", []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
		u.waitFor(fmt.Sprintf("the banner of %d bytes", size), func() bool {
			got := u.call("", u.ssh, "told@myhost", "echo out; echo err >&2")
			return got.stdout == "out\n" && got.stderr == text.String()+"err\n"
		})
		if got := u.call("", u.ssh, "-q", "told@myhost", "echo out"); got.stderr != "" || got.stdout != "out\n" {
			t.Errorf("quiet: %+v", got)
		}
		if got := u.call("", u.ssh, "-oLogLevel=ERROR", "told@myhost", "true"); got.stderr != "" {
			t.Errorf("LogLevel=ERROR: %+v", got)
		}
	}
}
