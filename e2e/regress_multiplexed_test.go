package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What multiplex.sh shows of sessions: everything that works over a connection of
// its own works over one that is shared, and -O tells of it and ends it.
func TestRegressMultiplexedSessions(t *testing.T) {
	u := newSSHUser(t, nil)
	u.env = append(u.env, "XDG_RUNTIME_DIR="+u.dir, "LC_A=over the shared one")
	t.Cleanup(func() { u.call("", agentBin, "share", "stop", "--now") })
	control := filepath.Join(u.dir, "control")
	with := func(args ...string) []string { return append([]string{u.ssh, "-S", control}, args...) }

	master := exec.Command(u.ssh, "-M", "-S", control, "-N", "myhost")
	master.Env = u.env
	if err := master.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = master.Process.Kill(); _ = master.Wait() })
	check := func() result { return u.call("", with("-O", "check", "myhost")...) }
	u.waitFor("the master", func() bool { return check().code == 0 })
	if got := check(); !strings.HasPrefix(got.stderr, "Master running (pid=") {
		t.Errorf("-O check: %+v", got)
	}

	t.Run("environment", func(t *testing.T) {
		if got := u.call("", with("-oSendEnv=LC_A", "-oSetEnv=LC_B=b", "myhost", `echo "$LC_A $LC_B"`)...); got.stdout != "over the shared one b\n" {
			t.Errorf("%+v", got)
		}
	})
	t.Run("transfer", func(t *testing.T) {
		data := u.blob(3000)
		copied := filepath.Join(u.dir, "copy")
		for name, line := range map[string]string{
			"down":   "$SSH -S " + control + " myhost cat " + data + " >" + copied,
			"up":     "$SSH -S " + control + " myhost 'cat >" + data + ".up' <" + data + " && cp " + data + ".up " + copied,
			"sftp":   "printf 'get " + data + " " + copied + "\\n' | sftp -q -S " + u.ssh + " -oControlPath=" + control + " -b - myhost",
			"scp":    "scp -q -S " + u.ssh + " -oControlPath=" + control + " myhost:" + data + " " + copied,
			"scp -O": "scp -O -q -S " + u.ssh + " -oControlPath=" + control + " myhost:" + data + " " + copied,
		} {
			_ = os.Remove(copied)
			if got := u.sh(line + " && cmp " + data + " " + copied); got.code != 0 {
				t.Errorf("%s: %+v", name, got)
			}
		}
	})
	t.Run("exit codes", func(t *testing.T) {
		for _, code := range []int{0, 1, 4, 5, 44} {
			if got := u.call("", with("myhost", fmt.Sprintf("exit %d", code))...); got.code != code {
				t.Errorf("%d: %+v", code, got)
			}
			early := fmt.Sprintf("exec sh -c 'exec >/dev/null 2>&1; sleep 0.3; exit %d'", code)
			if got := u.call("", with("-n", "myhost", early)...); got.code != code {
				t.Errorf("%d, after its streams: %+v", code, got)
			}
		}
		if got := u.call("", with("myhost", "kill -9 $$")...); got.code != 255 {
			t.Errorf("a signal: %+v", got)
		}
	})
	t.Run("terminal", func(t *testing.T) {
		if got := u.call("", with("-tt", "myhost", "tty >/dev/null && echo $TERM")...); got.stdout != "xterm-256color\r\n" {
			t.Errorf("%+v", got)
		}
	})
	t.Run("many at once", func(t *testing.T) {
		got := u.sh("for i in 1 2 3 4 5 6 7 8; do $SSH -S " + control + " myhost \"sleep 0.2; echo $i\" & done; wait")
		if strings.Count(got.stdout, "\n") != 8 || got.stderr != "" {
			t.Errorf("%+v", got)
		}
	})
	t.Run("-O exit", func(t *testing.T) {
		if got := u.call("", with("-O", "exit", "myhost")...); got.code != 0 || got.stderr != "Exit request sent.\n" {
			t.Errorf("%+v", got)
		}
		u.waitFor("its end", func() bool { return check().code == 255 })
		if got := check(); !strings.Contains(got.stderr, "Control socket connect("+control+"): ") {
			t.Errorf("afterwards: %+v", got)
		}
		if got := u.call("", with("myhost", "echo alone")...); got.stdout != "alone\n" {
			t.Errorf("without it: %+v", got)
		}
	})
	t.Run("-O stop", func(t *testing.T) {
		auto := func(args ...string) []string {
			return append([]string{u.ssh, "-oControlMaster=auto", "-oControlPersist=1m", "-S", control}, args...)
		}
		if got := u.call("", auto("myhost", "echo first")...); got.stdout != "first\n" {
			t.Errorf("%+v", got)
		}
		live := u.held("-S", control)
		live.echoes("before")
		if got := u.call("", auto("-O", "stop", "myhost")...); got.code != 0 || got.stderr != "Stop listening request sent.\n" {
			t.Errorf("%+v", got)
		}
		live.echoes("after")
		live.end()
		u.waitFor("its end", func() bool { return check().code == 255 })
	})
}
