package e2e

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// machine is a booted system of its own, with systemd as process 1; see
// scripts/machine.sh.
type machine struct {
	t *testing.T
	// share is a directory of this machine that the booted one sees as
	// /mnt/share, read-only.
	share  string
	leader string // process id of its init
}

// bootMachine boots a machine that ends with the test, and by itself after the
// given time.
func bootMachine(t *testing.T, lives time.Duration) *machine {
	t.Helper()
	needRoot(t)
	need(t, "systemd-nspawn", "nsenter", "unshare")
	dir, err := os.MkdirTemp("", "shellagent-machine-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	m := &machine{t: t, share: filepath.Join(dir, "share")}
	if err := os.Mkdir(m.share, 0o755); err != nil {
		t.Fatal(err)
	}
	console := func() string {
		text, _ := os.ReadFile(filepath.Join(dir, "console"))
		return tail(string(text), 4000)
	}
	cmd := exec.Command("../scripts/machine.sh", dir, strconv.Itoa(int(lives.Seconds())))
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-ended // timeout(1) sees to it
	})
	up := eventually(70*time.Second, func() bool {
		select {
		case <-ended:
			t.Fatalf("the machine ended at its start: %s\n%s", said.String(), console())
		default:
		}
		pid, err := os.ReadFile(filepath.Join(dir, "leader"))
		m.leader = strings.TrimSpace(string(pid))
		return err == nil
	})
	if !up {
		t.Fatalf("the machine did not start:\n%s", console())
	}
	return m
}

// try runs a bash script in the machine as root, for two minutes at most. With
// pipefail: who leaves a pipe early, as grep -q does, may fail the one who writes.
func (m *machine) try(script string) result {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "nsenter", "--target", m.leader, "--all", "--root", "--wd", "/bin/bash", "-euo", "pipefail", "-c", script)
	cmd.WaitDelay = 5 * time.Second
	// A process group of its own: what a script does to its own group stops there.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Env = []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root", "LANG=C.UTF-8", "TERM=dumb", "DEBIAN_FRONTEND=noninteractive",
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if cmd.ProcessState == nil {
		m.t.Fatalf("nsenter: %v", err)
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// sh runs a script that must succeed and returns what it printed, without the
// last end of line.
func (m *machine) sh(script string) string {
	m.t.Helper()
	got := m.try(script)
	if got.code != 0 {
		m.t.Fatalf("exit status %d of\n%s\n%s%s\nthe agent's journal:\n%s", got.code, script, got.stdout, got.stderr, m.journal())
	}
	return strings.TrimSuffix(got.stdout, "\n")
}

// journal is the end of what the agent logged.
func (m *machine) journal() string {
	return m.try("journalctl --no-pager -o short-precise -n 40 -u 'shellagent*'").stdout
}

// until waits until a script succeeds.
func (m *machine) until(what, script string) {
	m.t.Helper()
	var last result
	ok := eventually(20*time.Second, func() bool { last = m.try(script); return last.code == 0 })
	if !ok {
		m.t.Fatalf("waited 20 s for %s: %s\n%s%s\nthe agent's journal:\n%s", what, script, last.stdout, last.stderr, m.journal())
	}
}

// step runs a part of a test that the next one depends on.
func (m *machine) step(name string, f func()) {
	m.t.Helper()
	outer := m.t
	ok := outer.Run(name, func(t *testing.T) {
		m.t = t
		defer func() { m.t = outer }()
		f()
	})
	if !ok {
		outer.FailNow()
	}
}
