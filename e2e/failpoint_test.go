package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"shellagent/internal/failpoint"
)

// stoppable builds the agent that can be stopped at failpoints, once.
var stoppable = sync.OnceValues(func() (string, error) {
	bin := agentBin + "-failpoint"
	build := exec.Command("go", "build", "-tags", "failpoint", "-o", bin, "shellagent/cmd/agent")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build with failpoints: %w\n%s", err, out)
	}
	return bin, nil
})

// Shipped binaries cannot be stopped that way.
func TestShippedBinariesHaveNoFailpoints(t *testing.T) {
	bin, err := stoppable()
	if err != nil {
		t.Fatal(err)
	}
	for name, has := range map[string]bool{agentBin: false, clientBin: false, bin: true} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range []string{"SHELLAGENT_FAILPOINT", string(failpoint.InputHeld), string(failpoint.RequestReceived)} {
			if bytes.Contains(text, []byte(word)) != has {
				t.Errorf("%s: has %s: %v, want %v", name, word, !has, has)
			}
		}
	}
}

// startStoppable starts an agent that stops as planned; see internal/failpoint.
func startStoppable(t *testing.T, at failpoint.Point, occurrence int, action string) *host {
	t.Helper()
	h := newHost(t, nil)
	h.installFailpoints()
	plan := filepath.Join(h.dir, "plan")
	if err := os.WriteFile(plan, fmt.Appendf(nil, "%s %d %s", at, occurrence, action), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(h.program(), "listen", "-c", h.config)
	cmd.Env = h.env("SHELLAGENT_FAILPOINT=" + plan)
	h.startWith(cmd)
	return h
}

func (h *host) installFailpoints() {
	h.t.Helper()
	bin, err := stoppable()
	if err != nil {
		h.t.Fatal(err)
	}
	agent, err := os.ReadFile(bin)
	if err != nil {
		h.t.Fatal(err)
	}
	h.install(append(agent, 0))
}

func (h *host) stopped(at failpoint.Point) bool {
	return strings.Contains(h.log.String(), fmt.Sprintf("failpoint %s reached", at))
}

// jobs go both ways, in both encodings.
var jobs = map[string]job{
	"exec":     transfer{down: 8 * mega, up: 2 * mega, code: 3},
	"terminal": typing{typed: 200_000, shown: 6 * mega, code: 4},
}

// muchDown is acknowledged by at least three requests of its own, whatever goes along
// with input: an agent keeps 16 MiB.
var muchDown = transfer{down: 70 * mega, code: 3}

// The front ends in every window between its steps; the session does not.
func TestFrontIsKilledAtFailpoints(t *testing.T) {
	need(t, "openssl", "sha256sum", "pgrep")
	for _, c := range []struct {
		at         failpoint.Point
		about      string
		occurrence []int
	}{
		{failpoint.RequestReceived, "/v1/shell/", []int{1}},
		{failpoint.RequestReceived, "/stdin", []int{1, 3}},
		{failpoint.RequestReceived, "/control", []int{1, 3}},
		{failpoint.ReplyReceived, "/v1/shell/", []int{1}},
		{failpoint.ReplyReceived, "/stdin", []int{1, 3}},
		{failpoint.ReplyReceived, "/control", []int{1, 3}},
		{failpoint.FramesReceived, "-", []int{1, 3}},
		{failpoint.FramesWritten, "-", []int{1, 3}},
	} {
		for name, job := range jobs {
			if c.about == "/control" && name == "exec" {
				job = muchDown
			}
			for _, n := range c.occurrence {
				t.Run(fmt.Sprintf("%s %s %d, %s", c.at, c.about, n, name), func(t *testing.T) {
					t.Parallel()
					h := startStoppable(t, c.at, n, "kill "+c.about)
					front := h.frontPID()
					if err := job.run(h); err != nil {
						t.Error(err)
					}
					if !h.stopped(c.at) || h.frontPID() == front {
						t.Errorf("the front was not stopped")
					}
				})
			}
		}
	}
}

// An answer to input that never comes, because the front hangs, is asked for
// again.
func TestFrontHangsAtAFailpoint(t *testing.T) {
	need(t, "openssl", "sha256sum", "pgrep")
	for name, job := range jobs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := startStoppable(t, failpoint.ReplyReceived, 2, "hang /stdin")
			if err := job.run(h); err != nil {
				t.Error(err)
			}
			if !h.stopped(failpoint.ReplyReceived) {
				t.Error("the front did not hang")
			}
		})
	}
}

// windows are the broker's, with the occurrence that is in the midst of things.
var windows = map[failpoint.Point]int{
	failpoint.OutputRead: 3, failpoint.OutputKept: 3, failpoint.FrameTaken: 3,
	failpoint.InputVerified: 2, failpoint.InputQueued: 2, failpoint.InputWritten: 2, failpoint.InputHeld: 2,
	failpoint.AckVerified: 1, failpoint.AckTaken: 1,
	failpoint.ProgramEnded: 1, failpoint.ExitKept: 1,
}

// The broker ends in every window between its steps: its client is told, and the
// next start leaves nothing of the session.
func TestBrokerIsKilledAtFailpoints(t *testing.T) {
	need(t, "pgrep")
	for at, n := range windows {
		t.Run(string(at), func(t *testing.T) {
			t.Parallel()
			h := startStoppable(t, at, n, "kill")
			nap := fmt.Sprintf("sleep %d.%d", 200000+os.Getpid(), h.port)
			script := fmt.Sprintf("(trap '' HUP; exec setsid %s) >/dev/null 2>&1 </dev/null & cat; head -c 20000000 /dev/zero; exit 3", nap)
			got := make(chan result, 1)
			go func() { got <- h.exec(noise(2*mega), "debug", "myhost", "--", "bash", "-c", script) }()
			select {
			case <-h.done:
			case <-time.After(time.Minute):
				t.Fatal("the broker was not stopped")
			}
			h.cmd = nil // its end is no accident
			h.start()
			h.waitFor("the rest to be ended", func() bool { return !isRunning(nap) })
			r := <-got
			// Of an exit that was kept the client may have heard.
			if r.code != 255 && (r.code != 3 || at != failpoint.ExitKept) || r.code == 255 && r.stderr == "" {
				t.Errorf("the client ended with %d, %q; want 255 and a reason", r.code, tail(r.stderr, 500))
			}
			if !h.stopped(at) {
				t.Error("the broker ended somewhere else")
			}
		})
	}
}

// An upgrade that comes while the broker is in a window between its steps waits
// until it has left it, and loses nothing.
func TestUpgradeAtFailpoints(t *testing.T) {
	need(t, "openssl", "sha256sum", "pgrep")
	for at, n := range windows {
		t.Run(string(at), func(t *testing.T) {
			t.Parallel()
			h, release := startHanging(t, at, n)
			finish := h.begin()
			h.waitFor("the broker to hang", func() bool { return h.stopped(at) })
			front := h.frontPID()
			h.installFailpoints()
			if err := h.cmd.Process.Signal(syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
			h.waitFor("the front to be suspended", func() bool { return h.frontPID() != front })
			<-time.After(200 * time.Millisecond) // for the sessions to be frozen, which nobody tells
			release()
			h.waitFor("the new program to take over", func() bool { return strings.Contains(h.log.String(), tookOver) })
			finish()
		})
	}
}

// An upgrade that would have to wait too long is given up; the next one succeeds.
func TestUpgradeIsGivenUpAtAFailpoint(t *testing.T) {
	need(t, "openssl", "sha256sum", "pgrep")
	h, release := startHanging(t, failpoint.InputHeld, 2)
	finish := h.begin()
	h.waitFor("the broker to hang", func() bool { return h.stopped(failpoint.InputHeld) })
	h.installFailpoints()
	h.reload(goesOn)
	release()
	h.reload(tookOver)
	finish()
}

// startHanging starts an agent whose broker hangs at a point until it is released.
func startHanging(t *testing.T, at failpoint.Point, occurrence int) (h *host, release func()) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "released")
	h = startStoppable(t, at, occurrence, "hang - "+name)
	return h, func() {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// begin has all jobs begin; finish waits for them and says what went wrong.
func (h *host) begin() (finish func()) {
	var all sync.WaitGroup
	for name, job := range jobs {
		all.Go(func() {
			if err := job.run(h); err != nil {
				h.t.Errorf("%s: %v", name, err)
			}
		})
	}
	return all.Wait
}
