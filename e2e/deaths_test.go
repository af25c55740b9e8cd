package e2e

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// isRunning says whether a program with these words in its command line runs.
func isRunning(words string) bool {
	return exec.Command("pgrep", "-f", words).Run() == nil
}

// startedClient runs a command through a client of its own until it has printed
// a line.
func startedClient(t *testing.T, h *host, script string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	cmd := h.clientCmd(ctx, "exec", "--accept-new", "-n", "debug", "myhost", "--", "bash", "-c", "echo started; "+script)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if !bufio.NewScanner(out).Scan() {
		t.Fatal("the client ended before its command began")
	}
	return cmd
}

// A client that is killed is waited for, as long as linger; then its session
// ends with everything it started.
func TestAKilledClientIsWaitedFor(t *testing.T) {
	need(t, "pgrep")
	h := startHost(t, func(h *host, c object) { c["sources"].(object)["debug"].(object)["linger"] = "3s" })
	nap := fmt.Sprintf("sleep %d.25", 100000+os.Getpid())
	client := startedClient(t, h, "setsid "+nap+" & "+nap)
	if err := client.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	h.waitFor("the session to be detached", func() bool {
		return strings.Contains(h.runClient(nil, "sessions", "--accept-new", "myhost").stdout, "detached")
	})
	if !isRunning(nap) {
		t.Error("the program did not live on")
	}
	h.waitFor("the session to end", func() bool { return strings.Contains(h.log.String(), "nobody came back to it") })
	if waited := time.Since(began); waited < 2*time.Second {
		t.Errorf("it was waited for %v", waited)
	}
	h.waitFor("all its programs to end", func() bool { return !isRunning(nap) })
}

// An agent that is killed ends its sessions: its clients say so within seconds,
// and nothing of them is left once it was started again.
func TestAKilledAgentLeavesNothing(t *testing.T) {
	need(t, "pgrep")
	h := startHost(t, nil)
	nap := fmt.Sprintf("sleep %d.5", 100000+os.Getpid())
	client := startedClient(t, h, "setsid "+nap+" & "+nap)
	if err := h.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-h.done
	h.cmd = nil
	h.start()
	h.waitFor("all of its programs to end", func() bool { return !isRunning(nap) })
	began := time.Now()
	if _ = client.Wait(); client.ProcessState.ExitCode() != 255 {
		t.Errorf("the client exits with %d", client.ProcessState.ExitCode())
	}
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("the client took %v", took)
	}
}
