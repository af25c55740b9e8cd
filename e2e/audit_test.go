package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// audited is a host that keeps a trail, also when the tests are not root.
func audited(more object) func(h *host, config object) {
	return func(h *host, config object) {
		trail := object{}
		for k, v := range more {
			trail[k] = v
		}
		config["audit"] = trail
	}
}

func (h *host) trailDir() string { return filepath.Join(h.dir, "state", "audit") }

// events are the trail's, by way of agent log.
func (h *host) events(args ...string) (all []map[string]any) {
	h.t.Helper()
	out := h.run0(agentBin, append([]string{"log", "--json", "--dir", h.trailDir()}, args...)...)
	for line := range strings.Lines(out) {
		var e map[string]any
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			h.t.Fatalf("%v: %s", err, line)
		}
		all = append(all, e)
	}
	return all
}

// told waits for an event of a kind with the given fields.
func (h *host) told(kind string, fields map[string]any) map[string]any {
	h.t.Helper()
	var found map[string]any
	h.waitFor(fmt.Sprintf("%s with %v", kind, fields), func() bool {
		for _, e := range h.events("--event", kind) {
			good := true
			for name, want := range fields {
				good = good && fmt.Sprint(e[name]) == fmt.Sprint(want)
			}
			if good {
				found = e
				return true
			}
		}
		return false
	})
	return found
}

func (h *host) verifyTrail() string {
	h.t.Helper()
	return h.run0(agentBin, "verify", "--state-dir", filepath.Join(h.dir, "state"), h.trailDir())
}

// Every fact is told once it happened, by the real programs, and the trail
// verifies in the end, also after kills and upgrades.
func TestTrailTellsEveryFact(t *testing.T) {
	need(t, "pgrep")
	h := upgradable(t, audited(nil))
	h.told("agent.started", nil)
	if r := h.exec(nil, "myhost", "--", "sh", "-c", "echo hello; exit 3"); r.code != 3 {
		t.Fatalf("%+v", r)
	}
	run := h.told("command.run", map[string]any{"source": "debug"})
	if !strings.Contains(run["command"].(string), "echo hello") || run["remote"] != "127.0.0.1" || len(run["key"].(string)) != 43 {
		t.Errorf("%v", run)
	}
	id := map[string]any{"session": run["session"]}
	opened := h.told("session.opened", id)
	ended := h.told("session.ended", map[string]any{"session": run["session"], "exit": 3, "outputBytes": 6})
	if opened["user"] != ended["user"] || opened["user"] == "" || ended["seconds"] == nil {
		t.Errorf("%v\n%v", opened, ended)
	}

	stranger := filepath.Join(h.dir, "stranger")
	h.run0(agentBin, "keys", "generate", "--batch", "-o", stranger)
	if r := h.exec(nil, "-i", stranger, "myhost", "--", "true"); r.code == 0 {
		t.Fatal("a stranger came in")
	}
	h.told("request.refused", map[string]any{"reason": "unknown_key", "remote": "127.0.0.1"})

	before := h.frontPID()
	if err := syscall.Kill(before, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	h.waitFor("another front", func() bool { pid := h.frontPID(); return pid != 0 && pid != before && h.healthy() })
	h.told("front.restarted", map[string]any{"count": 1})

	h.install(nil)
	h.reload(tookOver)
	h.told("agent.upgraded", map[string]any{"count": 1})

	h.reconfigure(func(c object) {
		c["verifyKeys"] = []string{h.publicKey(stranger)}
		c["sources"].(map[string]any)["debug"].(map[string]any)["idleTimeout"] = "1s"
		c["sources"].(map[string]any)["debug"].(map[string]any)["maxSessions"] = 1
	})
	if err := h.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	h.told("policy.reloaded", nil)
	h.told("key.revoked", map[string]any{"reason": "removed", "key": run["key"]})
	done := make(chan result)
	go func() {
		done <- h.runClient(nil, "exec", "--accept-new", "-i", stranger, "myhost", "--", "sleep", "60")
	}()
	h.told("command.run", map[string]any{"command": "sleep 60"})
	if r := h.exec(nil, "-i", stranger, "myhost", "--", "true"); r.code == 0 {
		t.Error("two sessions of one that are allowed")
	}
	h.told("limit.reached", map[string]any{"reason": "max_sessions"})
	h.told("limit.reached", map[string]any{"reason": "idle_timeout"})
	<-done
	h.told("session.ended", map[string]any{"reason": "idle timeout"})
	h.stop()
	h.told("agent.stopped", nil)
	if out := h.verifyTrail(); !strings.Contains(out, "holds") {
		t.Error(out)
	}
}

// reconfigure changes the agent's configuration file.
func (h *host) reconfigure(edit func(object)) {
	h.t.Helper()
	b, err := os.ReadFile(h.config)
	if err != nil {
		h.t.Fatal(err)
	}
	var c object
	if err := json.Unmarshal(b, &c); err != nil {
		h.t.Fatal(err)
	}
	edit(c)
	h.writeJSON(h.config, c)
}

// What a session's user could do to the trail is nothing.
func TestTrailIsOutOfReach(t *testing.T) {
	needRoot(t)
	h := startHost(t, nil) // root keeps a trail unasked
	h.told("agent.started", nil)
	for _, attempt := range []string{"ls DIR", "cat DIR/*", "cat FILE", "echo x >> FILE", "rm -f FILE", "mv DIR /tmp/x", "cat STATE/seal.key"} {
		files, err := filepath.Glob(filepath.Join(h.trailDir(), "*.jsonl"))
		if err != nil || len(files) != 1 {
			t.Fatalf("%v %v", err, files)
		}
		command := strings.NewReplacer("DIR", h.trailDir(), "FILE", files[0], "STATE", filepath.Join(h.dir, "state")).Replace(attempt)
		if r := h.exec(nil, "myhost", "--command", command); r.code == 0 || r.stdout != "" {
			t.Errorf("%s: %+v", command, r)
		}
	}
	h.verifyTrail()
}

// Killed in the middle, the agent goes on with the trail it had, and its sink
// misses nothing.
func TestSinkThroughKills(t *testing.T) {
	var mu sync.Mutex
	got := make(map[string]bool)
	fail := true
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		var lines []json.RawMessage
		if err := json.NewDecoder(r.Body).Decode(&lines); err != nil || fail {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		for _, l := range lines {
			got[string(l)] = true
		}
	}))
	defer server.Close()
	metrics := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	h := startHost(t, func(h *host, c object) {
		c["metrics"] = object{"address": metrics}
		audited(object{"sinks": []object{
			{"name": "siem", "type": "https", "url": server.URL, "format": "json", "gzip": false},
			{"type": "file", "path": filepath.Join(h.dir, "copy.jsonl")},
		}})(h, c)
	})
	h.exec(nil, "myhost", "--", "true")
	h.told("session.ended", nil)
	h.waitFor("the sink's trouble in the metrics", func() bool {
		text := scrape(t, metrics)
		return strings.Contains(text, "\nshellagent_audit_sink_up{sink=\"siem\"} 0\n") &&
			strings.Contains(text, "\nshellagent_audit_sink_up{sink=\"file\"} 1\n") && strings.Contains(text, "\nshellagent_audit_writable 1\n")
	})
	_ = h.cmd.Process.Kill()
	<-h.done
	h.cmd = nil
	mu.Lock()
	fail = false
	mu.Unlock()
	h.start()
	h.exec(nil, "myhost", "--", "true")
	h.stop()
	h.verifyTrail()
	for line := range strings.Lines(h.run0(agentBin, "log", "--json", "--dir", h.trailDir())) {
		mu.Lock()
		came := got[strings.TrimSuffix(line, "\n")]
		mu.Unlock()
		if !came {
			t.Errorf("the server did not get %s", line)
		}
	}
	copied, err := os.ReadFile(filepath.Join(h.dir, "copy.jsonl"))
	if err != nil || strings.Count(string(copied), "\n") < len(h.events()) {
		t.Errorf("%v: %d lines", err, strings.Count(string(copied), "\n"))
	}
}

// A trail that cannot be written refuses sessions only where it is told to.
func TestFullTrailRefuses(t *testing.T) {
	needRoot(t)
	need(t, "mount")
	h := newHost(t, audited(object{"whenFull": "refuse"}))
	if err := os.MkdirAll(h.trailDir(), 0o700); err != nil {
		t.Fatal(err)
	}
	h.run0("chmod", "700", filepath.Join(h.dir, "state"))
	h.run0("mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", h.trailDir())
	t.Cleanup(func() { _ = exec.Command("umount", h.trailDir()).Run() })
	h.start()
	t.Cleanup(h.stop)
	if r := h.exec(nil, "myhost", "--", "true"); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	filler := filepath.Join(h.trailDir(), "filler")
	h.run0("sh", "-c", "cat /dev/zero > "+filler+" 2>/dev/null || true")
	h.waitFor("sessions to be refused", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		out, err := h.clientCmd(ctx, "exec", "--accept-new", "myhost", "--", "true").CombinedOutput()
		return err != nil && strings.Contains(string(out), "audit trail has no room")
	})
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	h.waitFor("sessions to begin again", func() bool { return h.exec(nil, "myhost", "--", "true").code == 0 })
	h.told("command.run", nil)
	h.verifyTrail()
}
