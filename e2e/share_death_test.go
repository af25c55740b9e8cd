package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// lingers starts a call that says "on" and then lasts until it reads the end of its input.
func (h *host) lingers(t *testing.T) (cmd *exec.Cmd, stderr *syncBuffer, ended chan struct{}) {
	t.Helper()
	stdout := &syncBuffer{}
	stderr = &syncBuffer{}
	cmd = h.clientCmd(t.Context(), "exec", "--accept-new", "debug", "myhost", "--", "sh", "-c", "echo on; cat; echo off")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close() })
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended = make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait() }()
	h.waitFor("the session's first line", func() bool { return strings.Contains(stdout.String(), "on\n") })
	return cmd, stderr, ended
}

func await(t *testing.T, what string, ended chan struct{}) {
	t.Helper()
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Fatalf("waited 20 s for %s", what)
	}
}

func TestHolderIsKilled(t *testing.T) {
	h, _ := sharing(t, "5m")
	h.says("held")
	cmd, stderr, ended := h.lingers(t)
	pid := h.holder()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	await(t, "the client of a holder that was killed", ended)
	if code := cmd.ProcessState.ExitCode(); code != 255 || !strings.Contains(stderr.String(), "held the shared connection is gone") {
		t.Errorf("code %d, %q", code, stderr)
	}
	h.waitFor("its session to be detached", func() bool {
		return strings.Contains(h.runClient(nil, "sessions", "myhost").stdout, "detached")
	})
	// Its socket is stale now.
	if sockets, _ := filepath.Glob(filepath.Join(h.dir, ".cache", "shellagent-share", "*.sock")); len(sockets) != 1 {
		t.Fatalf("sockets: %v", sockets)
	}
	h.says("again")
	if h.holder() == pid {
		t.Error("the same holder")
	}
}

func TestHolderIsStopped(t *testing.T) {
	h, _ := sharing(t, "5m")
	h.says("held")
	cmd, _, ended := h.lingers(t)
	h.shareStop()
	h.says("elsewhere") // through another holder
	select {
	case <-ended:
		t.Fatalf("stop ended a session: %d", cmd.ProcessState.ExitCode())
	default:
	}
	cmd, stderr, ended := h.lingers(t)
	h.shareStop("--now")
	await(t, "the client of a holder that was told to end", ended)
	if code := cmd.ProcessState.ExitCode(); code != 255 || !strings.Contains(stderr.String(), "was ended") {
		t.Errorf("code %d, %q", code, stderr)
	}
	h.waitFor("its session to be hung up", func() bool { return len(h.live()) == 1 })
}

// live are the ids of the sessions that run.
func (h *host) live() (ids []string) {
	h.t.Helper()
	r := h.runClient(nil, "sessions", "myhost")
	for line := range strings.Lines(r.stdout) {
		if strings.Contains(line, "attached") || strings.Contains(line, "detached") {
			ids = append(ids, strings.Fields(line)[0])
		}
	}
	return ids
}

func TestGuestIsKilled(t *testing.T) {
	h, _ := sharing(t, "5m")
	h.says("held")
	cmd, _, ended := h.lingers(t)
	_ = cmd.Process.Kill()
	await(t, "the client that was killed", ended)
	// As with a connection of its own: the session is kept for its linger.
	h.waitFor("the session to be detached", func() bool {
		return strings.Contains(h.runClient(nil, "sessions", "myhost").stdout, "detached")
	})
	h.says("still")
	cmd, _, ended = h.lingers(t)
	_ = cmd.Process.Signal(syscall.SIGTERM)
	await(t, "the client that was told to end", ended)
	if code := cmd.ProcessState.ExitCode(); code != 143 {
		t.Errorf("code %d after SIGTERM", code)
	}
	h.waitFor("its session to be hung up", func() bool { return len(h.live()) == 1 })
}

func TestHostKeyChangesUnderAHolder(t *testing.T) {
	h, way := sharing(t, "5m")
	h.says("held")
	h.stop()
	for _, name := range []string{"host_key", "host_key.pub"} {
		if err := os.Remove(filepath.Join(h.dir, "state", name)); err != nil {
			t.Fatal(err)
		}
	}
	way.cutAll()
	h.start()
	r := h.exec(nil, "debug", "myhost", "--", "echo", "unsafe")
	if r.code != 255 || r.stdout != "" || !strings.Contains(r.stderr, "HAS CHANGED") {
		t.Errorf("another host key: %+v", r)
	}
}

func TestHolderThatHangsIsPassedBy(t *testing.T) {
	h, _ := sharing(t, "5m")
	h.says("held")
	pid := h.holder()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Kill(pid, syscall.SIGCONT) }()
	h.says("without")
}
