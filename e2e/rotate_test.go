package e2e

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// stranger is a client with its own memory of hosts.
func (h *host) stranger(name string, args ...string) result {
	h.t.Helper()
	cmd := exec.Command(agentBin, append([]string{"exec", "-c", h.client}, append(args, "myhost", "--", "echo", "in")...)...)
	cmd.Env = h.env("XDG_STATE_HOME=" + filepath.Join(h.dir, name))
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if cmd.ProcessState == nil {
		h.t.Fatal(err)
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// shown is the host key that somebody sees who connects.
func (h *host) shown() string {
	out, err := exec.Command("curl", "-sk", "-m", "5", fmt.Sprintf("https://127.0.0.1:%d/v1/agent", h.port)).Output()
	if err != nil {
		return err.Error()
	}
	return string(out)
}

func TestHostKeyRotation(t *testing.T) {
	h := startHost(t, nil)
	fingerprint := func() string {
		return strings.TrimSpace(h.run0(agentBin, "keys", "fingerprint", filepath.Join(h.dir, "state", "host_key.pub")))
	}
	first := fingerprint()
	for _, client := range []string{"hears", "misses"} {
		if got := h.stranger(client, "--accept-new"); got.code != 0 {
			t.Fatalf("%s: %+v", client, got)
		}
	}

	if got := h.operator("keys", "rotate"); got.code != 0 || !strings.Contains(got.stderr, "announced since") {
		t.Fatalf("%+v", got)
	}
	if again := h.operator("keys", "rotate"); again.code != 0 || strings.Count(h.log.String(), "an operator rotates") != 2 {
		t.Errorf("begun twice: %+v", again)
	}
	if !strings.Contains(h.shown(), `"nextHostKey":{`) {
		t.Errorf("/v1/agent: %s", h.shown())
	}
	if got := h.stranger("hears"); got.code != 0 || !strings.Contains(got.stderr, "is known beside it") {
		t.Errorf("the announcement: %+v", got)
	}
	// It is announced across a restart as well.
	h.stop()
	h.start()
	if got := h.stranger("hears"); got.code != 0 || got.stderr != "" {
		t.Errorf("after a restart: %+v", got)
	}

	// A session goes on over the switch, also when it has to connect anew.
	in, input := io.Pipe()
	defer input.Close()
	cmd := exec.Command(agentBin, "exec", "-c", h.client, "--accept-new", "myhost", "--", "cat")
	cmd.Env = h.env()
	output := &syncBuffer{}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, output, output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	says := func(text string) {
		t.Helper()
		if _, err := io.WriteString(input, text+"\n"); err != nil {
			t.Fatal(err)
		}
		h.waitFor("the session to say "+text, func() bool { return strings.Contains(output.String(), text) })
	}
	says("before the switch")
	if got := h.operator("keys", "rotate", "--finish"); got.code != 0 {
		t.Fatalf("%+v", got)
	}
	second := fingerprint()
	if second == first || !strings.Contains(h.shown(), `"thumbprint":"`+second+`"`) || strings.Contains(h.shown(), "nextHostKey") {
		t.Errorf("after the switch from %s: %s", first, h.shown())
	}
	h.waitFor("a leaf of the next key", func() bool { return h.stranger("new", "--fingerprint", second).code == 0 })
	says("after the switch")
	if err := syscall.Kill(h.frontPID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	says("after the front died")
	input.Close()
	if err := <-done; err != nil {
		t.Errorf("the session: %v: %s", err, output)
	}

	if got := h.stranger("hears"); got.code != 0 || !strings.Contains(got.stderr, "the host key that it announced") {
		t.Errorf("who heard: %+v", got)
	}
	if got := h.stranger("hears"); got.code != 0 || got.stderr != "" {
		t.Errorf("who heard, again: %+v", got)
	}
	known, err := os.ReadFile(filepath.Join(h.dir, "hears", "shellagent", "known_hosts"))
	if err != nil || strings.Count(string(known), "\n") != 1 {
		t.Errorf("known: %s, %v", known, err)
	}
	if got := h.stranger("misses", "--accept-new"); got.code != 255 || !strings.Contains(got.stderr, "HAS CHANGED") {
		t.Errorf("who did not: %+v", got)
	}
	if got := h.operator("keys", "rotate", "--finish"); got.code != 1 || !strings.Contains(got.stderr, "no next host key") {
		t.Errorf("finished twice: %+v", got)
	}
	h.stop()
	h.start()
	if got := h.stranger("hears"); got.code != 0 || got.stderr != "" {
		t.Errorf("after the last restart: %+v", got)
	}
}

// Without an agent the files are rotated, and the next start announces or uses them.
func TestHostKeyRotationOfAnAgentThatRests(t *testing.T) {
	h := startHost(t, nil)
	if got := h.stranger("hears", "--accept-new"); got.code != 0 {
		t.Fatalf("%+v", got)
	}
	h.stop()
	if got := h.operator("keys", "rotate", "--json"); got.code != 0 || !strings.Contains(got.stdout, `"running": false`) {
		t.Errorf("%+v", got)
	}
	h.start()
	if got := h.stranger("hears"); got.code != 0 || !strings.Contains(got.stderr, "is known beside it") {
		t.Errorf("%+v", got)
	}
	if got := h.operator("status"); got.code != 0 || !strings.Contains(got.stdout, "comes next, announced since") {
		t.Errorf("%+v", got)
	}
	if got := h.operator("keys", "rotate", "--abort"); got.code != 0 {
		t.Errorf("%+v", got)
	}
	if got := h.stranger("hears"); got.code != 0 || !strings.Contains(got.stderr, "is forgotten") {
		t.Errorf("%+v", got)
	}
	h.stop()
	if got := h.operator("keys", "rotate"); got.code != 0 {
		t.Errorf("%+v", got)
	}
	h.start()
	if got := h.stranger("hears"); got.code != 0 {
		t.Errorf("%+v", got)
	}
	h.stop()
	if got := h.operator("keys", "rotate", "--finish"); got.code != 0 {
		t.Errorf("%+v", got)
	}
	h.start()
	if got := h.stranger("hears"); got.code != 0 || !strings.Contains(got.stderr, "that it announced") {
		t.Errorf("%+v", got)
	}
}
