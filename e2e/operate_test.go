package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// operator runs one of the agent's own commands on its host.
func (h *host) operator(args ...string) result {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, agentBin, append(args, "-c", h.config)...)
	cmd.Env = h.env()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	return h.finish(cmd.Run(), cmd, &stdout, &stderr)
}

// newKey makes another person's key.
func (h *host) newKey(name string) (file, public string) {
	h.t.Helper()
	file = filepath.Join(h.dir, name)
	h.run0(agentBin, "keys", "generate", "--batch", "-o", file)
	return file, h.publicKey(file)
}

// hold opens a session that lasts until it is ended from elsewhere.
func (h *host) hold(args ...string) (ended <-chan result) {
	h.t.Helper()
	cmd := h.clientCmd(context.Background(), "exec", append([]string{"--accept-new"}, append(args, "--", "sh", "-c", "echo up; exec sleep 300")...)...)
	stdout, stderr := &syncBuffer{}, &syncBuffer{}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	done := make(chan result, 1)
	go func() {
		_ = cmd.Wait()
		done <- result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
	}()
	h.t.Cleanup(func() { _ = cmd.Process.Kill() })
	h.waitFor("the session to run", func() bool { return strings.Contains(stdout.String(), "up") })
	return done
}

// endedIn waits for the end of a held session.
func (h *host) endedIn(ended <-chan result) result {
	h.t.Helper()
	select {
	case got := <-ended:
		return got
	case <-time.After(20 * time.Second):
		h.t.Fatalf("the session goes on; agent's log:\n%s", tail(h.log.String(), 4000))
		return result{}
	}
}

// people is a configuration in which alice and bob may open two sources.
func people(alice, bob string) func(h *host, config object) {
	return func(h *host, config object) {
		config["verifyKeys"] = []object{
			{"subject": "alice", "keys": []string{alice}},
			{"subject": "bob", "keys": []string{bob}},
		}
		config["sources"] = object{"debug": h.debugSource(), "deploy": h.debugSource()}
	}
}

func TestOperatorEndsSessions(t *testing.T) {
	var bob string
	h := startHost(t, func(h *host, config object) {
		file, line := h.newKey("bob")
		bob = file
		people(h.publicKey(h.key), line)(h, config)
	})
	alice, bobs, bobsOther := h.hold("debug@myhost"), h.hold("-i", bob, "debug@myhost"), h.hold("-i", bob, "deploy@myhost")

	got := h.operator("sessions", "--local", "--json")
	var list struct {
		Sessions []struct{ Sid, Subject, Source string }
	}
	if err := json.Unmarshal([]byte(got.stdout), &list); err != nil || len(list.Sessions) != 3 {
		t.Fatalf("%+v: %v", got, err)
	}
	if got := h.operator("sessions", "--local"); strings.Count(got.stdout, "  bob  ") != 2 || strings.Count(got.stdout, "  alice  ") != 1 {
		t.Errorf("%+v", got)
	}

	if got := h.operator("kill", "--subject", "carol"); got.code != 1 || got.stdout != "ended 0 sessions\n" {
		t.Errorf("nobody: %+v", got)
	}
	if got := h.operator("kill", "--subject", "bob", "--source", "deploy"); got.code != 0 || got.stdout != "ended 1 session\n" {
		t.Errorf("bob's in deploy: %+v", got)
	}
	if got := h.endedIn(bobsOther); got.code != 129 || !strings.Contains(got.stderr, "ended by the host's operator") {
		t.Errorf("%+v", got)
	}
	thumbprint := strings.TrimSpace(h.run0(agentBin, "keys", "fingerprint", bob+".pub"))
	if got := h.operator("kill", "--key", thumbprint); got.code != 0 || got.stdout != "ended 1 session\n" {
		t.Errorf("bob's key: %+v", got)
	}
	h.endedIn(bobs)
	if got := h.operator("kill", "--session", list.Sessions[0].Sid[:8]); got.code != 0 || got.stdout != "ended 1 session\n" {
		t.Errorf("the first: %+v", got)
	}
	h.endedIn(alice)

	alice, bobs = h.hold("debug@myhost"), h.hold("-i", bob, "debug@myhost")
	if got := h.operator("kill", "--all"); got.code != 0 || got.stdout != "ended 2 sessions\n" {
		t.Errorf("all: %+v", got)
	}
	h.endedIn(alice)
	h.endedIn(bobs)

	for _, args := range [][]string{
		{"kill", "--all", "--subject", "alice"}, {"kill", "--session", "abc"}, {"kill", "--all", "myhost"}, {"sessions", "--local", "myhost"},
	} {
		if got := h.operator(args...); got.code != 2 {
			t.Errorf("%q: %+v", args, got)
		}
	}
}

// The door opens for root and the agent's own user.
func TestOperatorIsSomebodyElse(t *testing.T) {
	needRoot(t)
	h := startHost(t, nil)
	// They may see everything but what the agent itself closes.
	if err := errors.Join(os.Chmod(h.dir, 0o755), os.Chmod(h.config, 0o644)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(agentBin, "kill", "--all", "-c", h.config)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "belongs to the agent: ask as root") {
		t.Errorf("%v: %s", err, out)
	}

	// An agent that was killed leaves the door behind; the next one makes a new one.
	_ = h.cmd.Process.Kill()
	<-h.done
	if got := h.operator("status"); got.code != 1 || !strings.Contains(got.stderr, "no agent runs") {
		t.Errorf("%+v", got)
	}
	h.start()
	if got := h.operator("status", "--json"); got.code != 0 || !strings.Contains(got.stdout, fmt.Sprintf(`"pid": %d`, h.cmd.Process.Pid)) {
		t.Errorf("%+v", got)
	}
}

func TestOperatorReloads(t *testing.T) {
	h := startHost(t, nil)
	write := func(key string) {
		h.writeJSON(h.config, object{
			"listen": object{"address": fmt.Sprintf("127.0.0.1:%d", h.port)}, "stateDir": filepath.Join(h.dir, "state"),
			"verifyKeys": []string{key}, "sources": object{"debug": h.debugSource()},
		})
	}
	bob, bobs := h.newKey("bob")

	// Mistakes are told with their place, and change nothing.
	if err := os.WriteFile(h.config, []byte("{\n  \"sources\": {\"debug\": {\"shel\": \"/bin/sh\"}},\n}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := h.operator("reload"); got.code != 1 || !strings.Contains(got.stderr, "agent.json:2:") {
		t.Errorf("%+v", got)
	}
	if got := h.exec(nil, "myhost", "--", "true"); got.code != 0 {
		t.Errorf("the policy before: %+v", got)
	}

	// A mistake that locks its author out lasts for the trial only.
	live := h.hold("debug@myhost")
	write(bobs)
	began := time.Now()
	got := h.operator("reload", "--confirm", "2s")
	if got.code != 1 || !strings.Contains(got.stderr, "ROLLED BACK") || time.Since(began) < 2*time.Second ||
		!strings.Contains(got.stdout, "may not come any more") {
		t.Errorf("%+v after %s", got, time.Since(began))
	}
	h.endedIn(live)
	if got := h.exec(nil, "myhost", "--", "true"); got.code != 0 {
		t.Errorf("after the trial: %+v", got)
	}
	if got := h.operator("status"); got.code != 1 || !strings.Contains(got.stdout, "NOT WHAT THE FILES SAY") {
		t.Errorf("%+v", got)
	}
	if got := h.runClient(nil, "confirm", "myhost"); got.code != 255 || !strings.Contains(got.stderr, "nothing_to_confirm") {
		t.Errorf("a confirmation of nothing: %+v", got)
	}

	// Who gets in under it confirms it; who does not, does not.
	outcome := make(chan result, 1)
	go func() { outcome <- h.operator("reload", "--confirm", "60s", "--json") }()
	h.waitFor("the trial", func() bool { return strings.Contains(h.operator("status").stdout, "unless somebody confirms") })
	if got := h.runClient(nil, "confirm", "myhost"); got.code != 255 || !strings.Contains(got.stderr, "unauthorized") {
		t.Errorf("a key that is not listed any more: %+v", got)
	}
	if got := h.runClient(nil, "confirm", "-i", bob, "nosuch@myhost"); got.code != 255 || !strings.Contains(got.stderr, "unauthorized") {
		t.Errorf("a source that is not there: %+v", got)
	}
	if got := h.runClient(nil, "confirm", "-i", bob, "myhost"); got.code != 0 {
		t.Errorf("bob: %+v", got)
	}
	if got := <-outcome; got.code != 0 || !strings.Contains(got.stdout, `"state": "confirmed"`) {
		t.Errorf("%+v", got)
	}
	if got := h.exec(nil, "-i", bob, "myhost", "--", "true"); got.code != 0 {
		t.Errorf("bob's exec: %+v", got)
	}

	// The other way to ask still is one.
	write(h.publicKey(h.key))
	_ = h.cmd.Process.Signal(syscall.SIGHUP)
	h.waitFor("alice to get in again", func() bool { return h.exec(nil, "myhost", "--", "true").code == 0 })
}
