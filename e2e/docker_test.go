package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// podman runs Podman with a storage of its own, within bounds.
type podman struct {
	t    *testing.T
	line []string
	env  []string
}

func newPodman(t *testing.T) *podman {
	t.Helper()
	needRoot(t)
	need(t, "podman", "runc", "conmon", "busybox")
	dir, err := os.MkdirTemp("", "shellagent-podman-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return &podman{t: t, line: []string{
		"podman", "--root", dir + "/root", "--runroot", dir + "/run", "--tmpdir", dir + "/tmp", "--storage-driver", "vfs",
		"--cgroup-manager", "cgroupfs", "--runtime", "runc", "--events-backend", "none",
	}, env: append(os.Environ(), "HOME="+dir)}
}

func (p *podman) run(args ...string) string {
	p.t.Helper()
	return p.command(append(p.line[:len(p.line):len(p.line)], args...)...)
}

func (p *podman) command(line ...string) string {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, line[0], line[1:]...)
	cmd.Env, cmd.WaitDelay = p.env, time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		p.t.Fatalf("%s: %v\n%s", strings.Join(line, " "), err, out)
	}
	return string(out)
}

// The image is built as its README says, and run with what run.sh grants.
func TestAgentInAContainer(t *testing.T) {
	p := newPodman(t)
	files := t.TempDir()
	p.command("cp", "-r", "../examples/docker/.", agentBin, files)
	p.command("sh", "-c", `cp "$(command -v busybox)" "$0"`, files)
	limits := []string{"--network=none", "--ulimit=nofile=1024:16384", "--ulimit=nproc=4096:4096"} // of the build's own containers
	p.run(append(append([]string{"build", "--quiet", "--layers=false", "--tag", "shellagent"}, limits...), files)...)

	h := newHost(t, func(h *host, c object) {
		delete(c, "stateDir")
		c["sources"] = object{"debug": object{"exec": object{"user": "operator"}, "shell": "/bin/sh"}}
	})
	config := t.TempDir()
	p.command("cp", h.config, filepath.Join(config, "agent.json"))
	t.Cleanup(func() { p.run("rm", "--force", "--time", "5", "agent") })
	p.env = append(p.env, "CONFIG="+config, "PODMAN="+strings.Join(p.line, " "))
	p.command("../examples/docker/run.sh", "--detach", "--name", "agent", "--network=host", "shellagent")
	h.waitFor("the agent in the container", h.healthy)

	t.Run("a session", func(t *testing.T) {
		got := h.exec(nil, "-n", "debug", "myhost", "--command", "id -un; pwd; touch here && ls; touch /etc/x 2>/dev/null || echo read-only")
		if want := "operator\n/home/operator\nhere\nread-only\n"; got.stdout != want {
			t.Errorf("%q, %q, code %d; want %q", got.stdout, got.stderr, got.code, want)
		}
	})
	t.Run("on a terminal", func(t *testing.T) {
		got := h.exec(nil, "-n", "-t", "debug", "myhost", "--command", "stat -c %U $(tty); grep -E '^(NoNewPrivs|CapPrm)' /proc/self/status")
		if want := "operator\r\nCapPrm:\t0000000000000000\r\nNoNewPrivs:\t1\r\n"; got.stdout != want {
			t.Errorf("%q, %q, code %d; want %q", got.stdout, got.stderr, got.code, want)
		}
	})
	t.Run("what sessions leave", func(t *testing.T) {
		// Another session of the same user is open, whose they could be.
		ctx, end := context.WithCancel(t.Context())
		other := h.clientCmd(ctx, "exec", "--accept-new", "-n", "debug", "myhost", "--", "sleep", "600")
		if err := other.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { end(); _ = other.Wait() }()
		h.waitFor("the other session", func() bool { return strings.Contains(p.run("exec", "agent", "ps"), "sleep 600") })
		const leave = `for i in 1 2 3; do setsid /bin/busybox sleep 4715 >/dev/null 2>&1 </dev/null & done; (true &); usleep 100000`
		for _, terminal := range []string{"-t", "-T"} {
			if got := h.exec(nil, "-n", terminal, "debug", "myhost", "--command", leave); got.code != 0 {
				t.Fatalf("code %d: %s", got.code, got.stderr)
			}
		}
		left := regexp.MustCompile(`sleep 4715|\bZ\b|\[.*\]`)
		var processes string
		if !eventually(10*time.Second, func() bool {
			processes = p.run("exec", "agent", "ps", "-o", "pid,stat,args")
			return !left.MatchString(processes)
		}) {
			t.Errorf("processes are left:\n%s", processes)
		}
	})
	t.Run("stop and start", func(t *testing.T) {
		began := time.Now()
		p.run("stop", "--time", "30", "agent")
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("it took %v to stop", took)
		}
		p.run("start", "agent")
		h.waitFor("the agent in the container", h.healthy)
		// The host key is the same, or this client would refuse it.
		if got := h.runClient(nil, "exec", "-n", "debug", "myhost", "--", "id", "-un"); got.stdout != "operator\n" {
			t.Errorf("%q, %q, code %d", got.stdout, got.stderr, got.code)
		}
	})
	if t.Failed() {
		t.Logf("the container's log:\n%s", p.run("logs", "agent"))
	}
}
