package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The files regress_*_test.go hold agent ssh to what OpenSSH's regression suite
// (openssh-portable, regress/) shows of ssh to its user, each test by the name of
// the script whose behaviour it is: TestRegressStderrData is stderr-data.sh. The
// words and the code are our own. forwarding and dynamic-forward are in
// TestSSHForwards… and TestForward….

// sh runs a line of shell in which $SSH is the link and options that change nothing.
func (u *sshUser) sh(line string) result {
	u.t.Helper()
	return u.call("", "bash", "-o", "pipefail", "-c", "SSH='"+u.ssh+" -q'\n"+line)
}

func TestRegressExitStatus(t *testing.T) {
	u := newSSHUser(t, nil)
	for _, code := range []int{0, 1, 4, 5, 44, 126, 127, 128, 255} {
		if got := u.call("", u.ssh, "myhost", "exit", fmt.Sprint(code)); got.code != code {
			t.Errorf("exit %d: %+v", code, got)
		}
		// A program that closes its streams long before it ends.
		early := fmt.Sprintf("exec sh -c 'exec >/dev/null 2>&1; sleep 0.3; exit %d'", code)
		if got := u.call("", u.ssh, "-n", "myhost", early); got.code != code {
			t.Errorf("exit %d after its streams: %+v", code, got)
		}
	}
}

// A signal that ends the remote program is 255, whoever sent it.
func TestRegressExitStatusSignal(t *testing.T) {
	u := newSSHUser(t, nil)
	pid := filepath.Join(u.remoteDir(), "pid")
	cmd := exec.Command(u.ssh, "myhost", "echo $$ >"+pid+"; exec sleep 1000")
	cmd.Env = u.env
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var number int
	u.waitFor("the program's pid", func() bool {
		text, _ := os.ReadFile(pid)
		n, _ := fmt.Sscan(string(text), &number)
		return n == 1
	})
	if err := syscall.Kill(number, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 255 {
		t.Errorf("exit code %d", code)
	}
	for _, signal := range []string{"HUP", "INT", "QUIT", "KILL", "SEGV", "USR1"} {
		if got := u.call("", u.ssh, "myhost", "ulimit -c 0; exec sh -c 'kill -"+signal+" $$'"); got.code != 255 {
			t.Errorf("SIG%s: %+v", signal, got)
		}
	}
}

// blob is a file of random bytes that the source's user can read.
func (u *sshUser) blob(kilobytes int) string {
	u.t.Helper()
	path := filepath.Join(u.remoteDir(), "blob")
	u.must("dd", "if=/dev/urandom", "of="+path, "bs=1k", fmt.Sprintf("count=%d", kilobytes), "status=none")
	if err := os.Chmod(path, 0o644); err != nil {
		u.t.Fatal(err)
	}
	return path
}

func TestRegressTransfer(t *testing.T) {
	u := newSSHUser(t, nil)
	data := u.blob(3000)
	local := filepath.Join(u.dir, "copy")
	if got := u.sh("$SSH -n myhost cat " + data + " >" + local + " && cmp " + data + " " + local); got.code != 0 {
		t.Errorf("down: %+v", got)
	}
	for _, size := range []string{"10", "100", "1k", "32k", "64k", "128k", "256k"} {
		count := ""
		if size == "10" || size == "100" {
			count = " count=2000"
		}
		got := u.sh(fmt.Sprintf("dd if=%[1]s bs=%[2]s%[3]s status=none | $SSH myhost 'cat >%[1]s.copy' && dd if=%[1]s bs=%[2]s%[3]s status=none | cmp - %[1]s.copy", data, size, count))
		if got.code != 0 {
			t.Errorf("up by %s: %+v", size, got)
		}
	}
}

func TestRegressStderrData(t *testing.T) {
	u := newSSHUser(t, nil)
	data := u.blob(300)
	copied := filepath.Join(u.dir, "copy")
	for _, n := range []string{"", "-n"} {
		for name, script := range map[string]string{
			"alone":                 "exec >/dev/null; cat " + data + " 1>&2",
			"after a pause":         "exec >/dev/null; sleep 0.2; cat " + data + " 1>&2; sleep 0.2",
			"after standard output": "echo a; exec >/dev/null; sleep 0.2; cat " + data + " 1>&2; sleep 0.2",
		} {
			got := u.sh(fmt.Sprintf("$SSH %s myhost \"exec sh -c '%s'\" >%s.out 2>%s; code=$?; cmp %s %s && exit $code", n, script, copied, copied, data, copied))
			if got.code != 0 {
				t.Errorf("%s %s: %+v", n, name, got)
			}
		}
	}
}

// Standard error goes on when standard output has ended, here or there.
func TestRegressStderrAfterEOF(t *testing.T) {
	u := newSSHUser(t, nil)
	data := u.blob(300)
	copied := filepath.Join(u.dir, "copy")
	for name, line := range map[string]string{
		"there":             "$SSH myhost \"exec sh -c 'exec >/dev/null; sleep 0.3; cat " + data + " 1>&2'\" 2>" + copied,
		"closed there":      "$SSH myhost \"exec sh -c 'exec >&-; sleep 0.3; cat " + data + " 1>&2'\" 2>" + copied,
		"input closed here": "$SSH myhost \"exec sh -c 'exec >/dev/null; sleep 0.3; cat " + data + " 1>&2'\" 2>" + copied + " <&-",
	} {
		if got := u.sh(line + " && cmp " + data + " " + copied); got.code != 0 {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// A reader that leaves at once ends ssh, and nothing hangs.
func TestRegressBrokenPipe(t *testing.T) {
	u := newSSHUser(t, nil)
	for i := range 4 {
		if got := u.sh(fmt.Sprintf("set +o pipefail; $SSH myhost echo %d | true", i)); got.code != 0 || got.stderr != "" {
			t.Errorf("%d: %+v", i, got)
		}
		if got := u.sh("$SSH myhost 'yes' | true; test ${PIPESTATUS[0]} -ne 0"); got.code != 0 || got.stderr != "" {
			t.Errorf("one that would never end: %+v", got)
		}
	}
	if got := u.sh("yes | $SSH myhost true"); got.code != 0 && got.code != 141 { // yes's own
		t.Errorf("a program that does not read: %+v", got)
	}
}

// What was on its way to a reader that is slow arrives, to the last line.
func TestRegressYesHead(t *testing.T) {
	u := newSSHUser(t, nil)
	got := u.sh(`$SSH myhost 'bash -c "while true; do echo yes; done | head -2000"' | (sleep 1; wc -l)`)
	if strings.TrimSpace(got.stdout) != "2000" {
		t.Errorf("%+v", got)
	}
}

// Input that is closed, ends, or is no input at all before ssh begins.
func TestRegressStdin(t *testing.T) {
	u := newSSHUser(t, nil)
	for line, want := range map[string]string{
		"$SSH myhost 'cat; echo end' <&-":                                 "end\n",
		"$SSH myhost 'cat; echo end' </dev/null":                          "end\n",
		"$SSH -n myhost 'cat; echo end'":                                  "end\n",
		"$SSH -oStdinNull=yes myhost 'cat; echo end'":                     "end\n",
		"echo in | $SSH myhost 'cat; echo end'":                           "in\nend\n",
		"echo in | $SSH -n myhost 'cat; echo end'":                        "end\n",
		"$SSH myhost 'echo end' >&1 2>&-":                                 "end\n",
		"printf 'a\nb\n' | while read l; do $SSH -n myhost echo $l; done": "a\nb\n", // the classic mistake is to forget -n
		"(sleep 0.3; echo late) | $SSH myhost cat":                        "late\n",
		"$SSH -tt myhost 'tty >/dev/null && echo end' </dev/null":         "end\r\n",
		"$SSH -T myhost 'tty; true'":                                      "not a tty\n",
	} {
		if got := u.sh(line); got.code != 0 || got.stdout != want {
			t.Errorf("%s: %+v", line, got)
		}
	}
	// As ssh, it has /dev/null in the place of a stream that is closed.
	if got := u.sh("timeout 20 $SSH myhost 'echo x' >&-"); got.code != 0 {
		t.Errorf("standard output closed: %+v", got)
	}
}

// What ends ssh ends the remote program, and ssh's code is 255.
func TestRegressSignalsToTheClient(t *testing.T) {
	u := newSSHUser(t, nil)
	for i, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		marker := fmt.Sprintf("6%d%d", i, os.Getpid())
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		cmd := exec.CommandContext(ctx, u.ssh, "-v", "myhost", "exec sleep "+marker)
		said := &syncBuffer{}
		cmd.Env, cmd.Stderr = u.env, said
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		u.waitFor("the program", func() bool { return sleepers(marker) == 1 && strings.Contains(said.String(), "session ") })
		_ = cmd.Process.Signal(signal)
		_ = cmd.Wait()
		cancel()
		if code := cmd.ProcessState.ExitCode(); code != 255 {
			t.Errorf("%v: exit code %d", signal, code)
		}
		u.waitFor("the program to be gone", func() bool { return sleepers(marker) == 0 })
	}
}
