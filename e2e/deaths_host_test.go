package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Whoever closes the window of a shell leaves it, as with any shell: the client is
// told by the kernel and ends its session, which does not wait for linger.
func TestAClosedWindowHangsUp(t *testing.T) {
	need(t, "pgrep", "tmux")
	h := startHost(t, nil)
	s := shellScreen(t, h)
	s.remotePrompt()
	nap := fmt.Sprintf("sleep %d.75", 100000+os.Getpid())
	s.line("setsid " + nap + " & clear; echo star''ted")
	s.see("started")
	h.waitFor("a program that left its session", func() bool { return isRunning(nap) })
	s.tmux("kill-server")
	h.waitFor("the session to end", func() bool { return strings.Contains(h.log.String(), `msg="session ended"`) })
	h.waitFor("its programs to end", func() bool { return len(h.children()) == 0 && !isRunning(nap) })
	if log := h.log.String(); strings.Contains(log, "nobody came back") {
		t.Errorf("it was waited for; agent's log:\n%s", tail(log, 2000))
	}
}

// fill leaves no room in a file system.
func fill(t *testing.T, dir string) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for {
		if _, err := f.Write(make([]byte, 4<<10)); err != nil {
			return
		}
	}
}

// A full disk costs no session and keeps nobody out: what an agent needs of its
// state while it runs is in memory, an upgrade's as well.
func TestAFullDisk(t *testing.T) {
	needRoot(t)
	need(t, "pgrep", "tmux")
	h := newHost(t, nil)
	state := filepath.Join(h.dir, "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", state, "tmpfs", 0, "size=256k,mode=0700"); err != nil {
		t.Logf("NOT RUN: a file system that can be filled: %v", err)
		return
	}
	t.Cleanup(func() { _ = syscall.Unmount(state, syscall.MNT_DETACH) })
	h.install(nil)
	h.startWith(exec.Command(h.program(), "listen", "-c", h.config))
	s := shellScreen(t, h)
	s.remotePrompt()
	fill(t, state)

	lives := func(when string) {
		t.Helper()
		s.line("clear; echo al''ive " + when)
		s.see("alive " + when)
		if got := h.exec(nil, "debug", "myhost", "--", "echo", "in"); got.stdout != "in\n" {
			t.Errorf("%s: a new session: %+v", when, got)
		}
	}
	lives("now")
	if err := syscall.Kill(h.frontPID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	lives("under another front")
	h.install(nil)
	h.reload(tookOver)
	lives("after an upgrade")
	s.line("exit")
	s.see("local$")
	h.stop()
	h.startWith(exec.Command(h.program(), "listen", "-c", h.config))
	if got := h.exec(nil, "debug", "myhost", "--", "echo", "in"); got.stdout != "in\n" {
		t.Errorf("after a restart: %+v", got)
	}
}

// A user who is deleted has no session any more from the next time that policy is
// asked, at the latest a minute later; nobody else's is touched.
func TestAUserIsDeleted(t *testing.T) {
	needRoot(t)
	need(t, "useradd", "userdel")
	const name = "e2e-deleted"
	_ = exec.Command("userdel", name).Run()
	if out, err := exec.Command("useradd", "-M", "-d", "/tmp", "-s", "/bin/bash", name).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("userdel", "-f", name).Run() })
	h := startHost(t, func(h *host, c object) {
		c["verifyKeys"] = []object{{"subject": name, "keys": []string{h.publicKey(h.key)}}}
		c["sources"] = object{"debug": h.debugSource(), "own": object{"exec": object{"user": "$subject"}}}
	})
	own, other := h.hold("own@myhost"), h.hold("debug@myhost")
	if out, err := exec.Command("userdel", "-f", name).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if got := h.exec(nil, "own@myhost", "--", "true"); got.code != 255 {
		t.Errorf("the user still gets in: %+v", got)
	}
	if err := h.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if got := h.endedIn(own); got.code != 129 || !strings.Contains(got.stderr, "no longer allowed") {
		t.Errorf("%+v", got)
	}
	select {
	case got := <-other:
		t.Errorf("another user's session ended, too: %+v", got)
	default:
	}
}
