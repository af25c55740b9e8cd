package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// recordingFailed waits for the trail and the metrics to tell that a recording failed.
func (h *host) recordingFailed(metrics string, fields map[string]any) {
	h.t.Helper()
	h.told("recording.failed", fields)
	h.waitFor("the metrics to tell", func() bool {
		return !strings.Contains(scrape(h.t, metrics), "\nshellagent_recordings_failed_total 0\n")
	})
}

// both are two sources with recordings in a folder, which have to be there in
// "debug", and need not in "loose".
func both(dir, metrics string) func(h *host, c object) {
	return func(h *host, c object) {
		c["metrics"] = object{"address": metrics}
		c["audit"] = object{}
		for name, required := range map[string]bool{"debug": true, "loose": false} {
			source := h.debugSource()
			source["record"] = object{"dir": dir, "required": required}
			c["sources"].(object)[name] = source
		}
	}
}

// TestFolderThatNobodyMayWrite takes a folder away from root itself.
func TestFolderThatNobodyMayWrite(t *testing.T) {
	metrics, dir := fmt.Sprintf("127.0.0.1:%d", freePort(t)), ""
	h := newHost(t, func(h *host, c object) {
		if dir = ownDisk(t, h); dir != "" {
			both(dir, metrics)(h, c)
		}
	})
	if dir == "" {
		return
	}
	h.run0("chattr", "+i", dir)
	h.start()
	h.refusesAndGoesOn(metrics, "operation not permitted")
	h.run0("chattr", "-i", dir)
	if got := h.exec(nil, "debug", "myhost", "--", "true"); got.code != 0 {
		t.Errorf("afterwards: %+v", got)
	}
}

func (h *host) refusesAndGoesOn(metrics, why string) {
	h.t.Helper()
	if got := h.exec(nil, "debug", "myhost", "--", "true"); got.code != 255 || !strings.Contains(got.stderr, "the recording could not be begun") {
		h.t.Errorf("required: %+v", got)
	}
	h.recordingFailed(metrics, map[string]any{"source": "debug", "reason": "required"})
	got := h.exec(nil, "loose", "myhost", "--", "sh", "-c", "echo done; exit 3")
	if got.code != 3 || got.stdout != "done\n" || !strings.Contains(got.stderr, "this session is not recorded: "+why) {
		h.t.Errorf("not required: %+v", got)
	}
	h.told("recording.failed", map[string]any{"source": "loose"})
}

// TestAgentWithoutPermission runs an agent that is not root, whose folder of
// recordings is somebody else's.
func TestAgentWithoutPermission(t *testing.T) {
	needRoot(t)
	metrics := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	h := newHost(t, func(h *host, c object) {
		both(dir, metrics)(h, c)
		for _, s := range c["sources"].(object) {
			s.(object)["exec"] = object{}
		}
	})
	state := filepath.Join(h.dir, "state")
	if err := errors.Join(os.Chmod(h.dir, 0o755), os.Chmod(h.config, 0o644), os.Mkdir(state, 0o700)); err != nil {
		t.Fatal(err)
	}
	h.run0("chown", "operator:operator", state)
	h.startWith(exec.Command("setpriv", "--reuid", "operator", "--regid", "operator", "--clear-groups", agentBin, "listen", "-c", h.config))
	h.refusesAndGoesOn(metrics, "permission denied")
}

// TestRecordingMeetsALimit has the kernel refuse more of a file than a limit, as
// a quota does.
func TestRecordingMeetsALimit(t *testing.T) {
	needRoot(t)
	need(t, "prlimit")
	t.Log("NOT RUN: a disk quota (EDQUOT): root is above it, and this test's disks have none; RLIMIT_FSIZE takes its place")
	metrics := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	dir := t.TempDir()
	h := newHost(t, both(dir, metrics))
	h.startWith(exec.Command("prlimit", "--fsize=300000", agentBin, "listen", "-c", h.config))
	got := h.exec(nil, "debug", "myhost", "--", "bash", "-c", tooMuch)
	if got.code == 0 || !strings.Contains(got.stderr, "this session ends, because it has to be recorded: file too large") {
		t.Errorf("required: exit %d: %s", got.code, tail(got.stderr, 500))
	}
	h.recordingFailed(metrics, map[string]any{"source": "debug", "reason": "required"})
	ended := h.told("session.ended", map[string]any{"source": "debug", "reason": "recording failed: file too large"})
	failed := h.told("recording.failed", map[string]any{"source": "debug"})
	t.Logf("it failed at %v and ended at %v", failed["time"], ended["time"])

	got = h.exec(nil, "loose", "myhost", "--", "bash", "-c", "head -c 3000000 /dev/urandom | base64; exit 4")
	if got.code != 4 || len(got.stdout) < 4000000 || !strings.Contains(got.stderr, "not recorded any more: file too large") {
		t.Errorf("not required: exit %d, %d bytes: %s", got.code, len(got.stdout), got.stderr)
	}
}

// TestSampledRecording leaves out of a flood what the source says, and of a flood
// of another source nothing.
func TestSampledRecording(t *testing.T) {
	h := startHost(t, func(h *host, c object) {
		recorded(object{"sample": 65536})(h, c)
		c["audit"] = object{}
		all := h.debugSource()
		all["record"] = true
		c["sources"].(object)["all"] = all
	})
	const lines = 200000
	for _, source := range []string{"debug", "all"} {
		got := h.exec(nil, source, "myhost", "--", "sh", "-c", fmt.Sprintf("seq %d; sleep 1.5; echo after", lines))
		if got.code != 0 || strings.Count(got.stdout, "\n") != lines+1 {
			t.Fatalf("%s: exit %d, %d lines: %s", source, got.code, strings.Count(got.stdout, "\n"), got.stderr)
		}
		done := h.told("recording.complete", map[string]any{"source": source})
		cast := h.export(done["recording"].(string))
		shown, marks := strings.Join(castEvents(t, cast, "o"), ""), strings.Join(castEvents(t, cast, "m"), "\n")
		first, _, _ := strings.Cut(cast, "\n")
		sampled := source == "debug"
		if strings.Contains(first, `"sampled":true`) != sampled || strings.Contains(marks, "bytes of output are left out") != sampled {
			t.Errorf("%s: marks %q, header %s", source, marks, first)
		}
		if n := strings.Count(shown, "\n"); (n < lines) != sampled || !strings.HasPrefix(shown, "1\n2\n") || !strings.HasSuffix(shown, "after\n") {
			t.Errorf("%s: %d lines, the last %q", source, n, tail(shown, 20))
		}
	}
}

// TestOldRecordingsGo keeps recordings for an hour: what is older goes and is
// told, but for what is still written.
func TestOldRecordingsGo(t *testing.T) {
	metrics := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	h := startHost(t, func(h *host, c object) {
		recorded(object{"keep": "1h"})(h, c)
		c["metrics"] = object{"address": metrics}
		c["audit"] = true
	})
	dir := filepath.Join(h.dir, "state", "recordings")
	startedClient(t, h, "sleep 1000")
	live := recordings(t, dir)
	for range 2 {
		if got := h.exec(nil, "debug", "myhost", "--", "true"); got.code != 0 {
			t.Fatal(got.stderr)
		}
	}
	h.waitFor("two complete recordings", func() bool { return len(h.events("--event", "recording.complete")) == 2 })
	ended := h.events("--event", "recording.complete")
	old, young := ended[0]["recording"].(string), ended[1]["recording"].(string)
	for _, file := range append(slices.Clone(live), old) {
		if err := os.Chtimes(file, time.Now(), time.Now().Add(-2*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	if got := h.operator("reload"); got.code != 0 {
		t.Fatalf("%+v", got)
	}
	h.told("recording.removed", map[string]any{"recording": old, "reason": "age", "source": "debug", "session": ended[0]["session"]})
	want := append(slices.Clone(live), young)
	slices.Sort(want)
	left := recordings(t, dir)
	slices.Sort(left)
	if !slices.Equal(left, want) {
		t.Errorf("left are %v, want %v", left, want)
	}
	if text := scrape(t, metrics); !strings.Contains(text, "\nshellagent_recordings_removed_total 1\n") {
		t.Error("the metrics do not tell")
	}
}

// TestWriterIsOutOfReach tries what the session's user may do to the processes
// that record them.
func TestWriterIsOutOfReach(t *testing.T) {
	needRoot(t)
	h := startHost(t, recorded(true))
	for _, pid := range []int{h.cmd.Process.Pid, h.frontPID()} {
		for _, attempt := range []string{"kill -KILL PID", "kill -STOP PID", "cat /proc/PID/mem", "ls /proc/PID/fd", "cat /proc/PID/environ", "echo 1 >/proc/PID/oom_score_adj"} {
			got := h.exec(nil, "debug", "myhost", "--", "bash", "-c", strings.ReplaceAll(attempt, "PID", fmt.Sprint(pid)))
			if got.code == 0 || !strings.Contains(got.stderr, "ermission denied") && !strings.Contains(got.stderr, "not permitted") {
				t.Errorf("%s: %+v", strings.ReplaceAll(attempt, "PID", fmt.Sprint(pid)), got)
			}
		}
		if err := syscall.Kill(pid, 0); err != nil {
			t.Errorf("process %d: %v", pid, err)
		}
	}
}

// TestWatchUnannounced looks on at a session whose source says not to tell.
func TestWatchUnannounced(t *testing.T) {
	h := startHost(t, func(h *host, c object) {
		c["sources"].(object)["debug"].(object)["announceWatch"] = false
		c["audit"] = true
	})
	user := shellScreen(t, h)
	user.remotePrompt()
	watcher := newScreen(t, h, "env", "PS1=local$ ", "sh")
	watcher.see("local$")
	watcher.line(agentBin + " watch -c " + h.client + " myhost")
	watcher.see("remote$")
	h.told("session.watched", map[string]any{"source": "debug", "remote": "127.0.0.1"})
	user.line("echo shown to bo''th")
	watcher.see("shown to both")
	watcher.keys("q")
	watcher.see("local$")
	user.line("echo al''one")
	user.see("alone")
	if text := user.text(); strings.Contains(text, "watche") {
		t.Errorf("the session was told:\n%s", text)
	}
}

// TestStatusTellsTheTrail asks for the state of the trail and of its sinks.
func TestStatusTellsTheTrail(t *testing.T) {
	nobody := freePort(t)
	h := startHost(t, audited(object{"sinks": []object{
		{"name": "siem", "type": "https", "url": fmt.Sprintf("http://127.0.0.1:%d/in", nobody)},
		{"type": "file", "path": "copy.jsonl"},
	}}))
	h.waitFor("the sinks' states", func() bool {
		got := h.operator("status")
		return got.code == 0 && strings.Contains(got.stdout, "FAILS: ") && strings.Contains(got.stdout, "connection refused") &&
			strings.Contains(got.stdout, "sink siem") && strings.Contains(got.stdout, "file, has all, ")
	})
	if got := h.operator("status", "--json"); !strings.Contains(got.stdout, `"backlogBytes": `) || !strings.Contains(got.stdout, "connection refused") {
		t.Errorf("%+v", got)
	}
	if got := h.look("check", "-c", h.config); got.code != 0 || !strings.Contains(got.stdout, "also to siem: https") {
		t.Errorf("%+v", got)
	}
}
