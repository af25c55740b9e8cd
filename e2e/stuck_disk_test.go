package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// ownDisk is a folder on a file system of its own, an ext4 of 64 MiB; "" when none
// can be had here.
func ownDisk(t *testing.T, h *host) string {
	t.Helper()
	needRoot(t)
	need(t, "mkfs.ext4", "fsfreeze", "chattr")
	image, dir := filepath.Join(h.dir, "disk.img"), filepath.Join(h.dir, "disk")
	h.run0("truncate", "-s", "64M", image)
	h.run0("mkfs.ext4", "-q", "-F", image)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-o", "loop", image, dir).CombinedOutput(); err != nil {
		t.Logf("NOT RUN: a disk of its own: this machine mounts none: %v: %s", err, out)
		return ""
	}
	t.Cleanup(func() {
		_ = exec.Command("fsfreeze", "-u", dir).Run() // fails unless a test left it so
		_ = exec.Command("umount", "-l", dir).Run()
	})
	return dir
}

// flooding is a client whose command prints lines once a file is there.
type flooding struct {
	want   int // lines
	client *exec.Cmd
	stderr syncBuffer

	mu    sync.Mutex
	lines int
	ended chan error
}

// Both make some 15 MB, several times what a session keeps for a client.
const (
	floodLines = 2_000_000
	numbers    = "seq 2000000"

	wideLines = 5000
	wide      = `w=$(head -c 3000 /dev/zero | tr '\0' x); for i in $(seq 5000); do echo "$i $w"; done`
)

func onceThere(t *testing.T, h *host, source, flag, command string, want int) *flooding {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	f := &flooding{want: want + 1, ended: make(chan error, 1)}
	f.client = h.clientCmd(ctx, "exec", "--accept-new", "-n", source, "myhost", "--", "bash", "-c",
		fmt.Sprintf("echo 0; until [ -e %s ]; do sleep 0.05; done; %s", flag, command))
	f.client.Stdout, f.client.Stderr = f, &f.stderr
	if err := f.client.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { f.ended <- f.client.Wait(); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	h.waitFor(source+" to begin", func() bool { return f.count() > 0 })
	return f
}

// Write counts lines; the numbers themselves are looked at in the recording.
func (f *flooding) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lines += bytes.Count(p, []byte("\n"))
	return len(p), nil
}

func (f *flooding) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lines
}

// whole waits for the client's end, and that it has shown everything.
func (f *flooding) whole(t *testing.T, what string) {
	t.Helper()
	select {
	case err := <-f.ended:
		if err != nil || f.count() != f.want {
			t.Errorf("%s: %v, %d lines: %s", what, err, f.count(), f.stderr.String())
		}
	case <-time.After(2 * time.Minute):
		t.Fatalf("%s goes on for ever, after %d lines: %s", what, f.count(), f.stderr.String())
	}
}

// stalled waits until nothing comes for two seconds.
func (f *flooding) stalled(h *host) {
	h.t.Helper()
	last, since := -1, time.Now()
	h.waitFor("the session to stall", func() bool {
		if n := f.count(); n != last {
			last, since = n, time.Now()
		}
		return time.Since(since) > 2*time.Second
	})
}

// TestStuckDisk has a recording's disk stand still: what has to be recorded there
// waits, and goes on where it was; what need not be has a gap in its recording;
// nobody else notices.
func TestStuckDisk(t *testing.T) {
	t.Parallel() // it mostly waits
	dir := ""
	h := newHost(t, func(h *host, c object) {
		if dir = ownDisk(t, h); dir == "" {
			return
		}
		for name, record := range map[string]any{"debug": object{"dir": dir}, "loose": object{"dir": dir, "required": false}, "free": false} {
			source := h.debugSource()
			source["record"] = record
			c["sources"].(object)[name] = source
		}
	})
	if dir == "" {
		return
	}
	if err := os.Chmod(h.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	h.start()
	flag := filepath.Join(h.dir, "go")
	held, loose := onceThere(t, h, "debug", flag, numbers, floodLines), onceThere(t, h, "loose", flag, numbers, floodLines)
	h.run0("fsfreeze", "-f", dir)
	if err := os.WriteFile(flag, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	loose.whole(t, "the session that need not be recorded")
	held.stalled(h)
	if n := held.count(); n > floodLines {
		t.Errorf("it shows %d lines, and none can be recorded", n)
	}
	// Everybody else goes on.
	if got := h.exec(nil, "free", "myhost", "--", "echo", "here"); got.code != 0 || got.stdout != "here\n" {
		t.Errorf("another session: %+v", got)
	}
	if got := h.operator("status"); got.code != 0 || !strings.Contains(got.stdout, "of them recorded") {
		t.Errorf("the operator: %+v", got)
	}
	if got := h.operator("reload"); got.code != 0 {
		t.Errorf("a reload: %+v", got)
	}
	if got := h.exec(nil, "debug", "myhost", "--", "true"); got.code != 255 || !strings.Contains(got.stderr, "the recording could not be begun") {
		t.Errorf("one more that has to be recorded: %+v", got)
	}
	h.told("recording.failed", map[string]any{"reason": "required", "source": "debug"})

	h.run0("fsfreeze", "-u", dir)
	held.whole(t, "the session that waited")
	h.waitFor("both recordings to be complete", func() bool { return len(h.events("--event", "recording.complete")) == 2 })
	for _, e := range h.events("--event", "recording.complete") {
		file := e["recording"].(string)
		if got := h.look("verify", "--state-dir", filepath.Join(h.dir, "state"), file); got.code != 0 {
			t.Errorf("%v: %+v", e["source"], got)
		}
		cast := h.export(file)
		shown, marks := strings.Join(castEvents(t, cast, "o"), ""), strings.Join(castEvents(t, cast, "m"), "\n")
		if e["source"] == "debug" {
			if strings.Count(shown, "\n") != floodLines+1 || !strings.HasSuffix(shown, fmt.Sprintf("\n%d\n", floodLines)) || marks != "" {
				t.Errorf("what waited has %d lines and the marks %q", strings.Count(shown, "\n"), marks)
			}
		} else if !strings.Contains(marks, "bytes of output are missing") {
			t.Errorf("what did not wait has %d lines and the marks %q", strings.Count(shown, "\n"), marks)
		}
	}
}

// TestStuckTrail has the disk of the audit trail stand still: nobody waits, the
// output that a source drains has a gap, and no fact is missing.
func TestStuckTrail(t *testing.T) {
	dir := ""
	h := newHost(t, func(h *host, c object) {
		if dir = ownDisk(t, h); dir == "" {
			return
		}
		drained(object{"redact": []string{`(?i)password=\S+`}})(h, c)
		c["audit"].(object)["dir"] = filepath.Join(dir, "audit")
		c["verifyKeys"] = []object{{"subject": "alice", "email": "alice@corp.example", "keys": []string{h.publicKey(h.key)}}}
	})
	if dir == "" {
		return
	}
	if err := os.Chmod(h.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	h.start()
	if got := h.exec(nil, "myhost", "--", "sh", "-c", "printf 'db pass'; sleep 0.5; printf 'word=hun'; sleep 0.5; printf 'ter2 ok\\nend\\n'"); got.code != 0 {
		t.Fatal(got.stderr)
	}
	lines := h.awaitDrained("end")
	if first := lines[0]; first.Line != "db [redacted] ok" || first.OperationUserEmail != "alice@corp.example" {
		t.Errorf("in three pieces: %+v", first)
	}
	flag := filepath.Join(h.dir, "go")
	flooded := onceThere(t, h, "debug", flag, wide, wideLines)
	h.run0("fsfreeze", "-f", dir)
	if err := os.WriteFile(flag, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	flooded.whole(t, "a session that is drained")
	if got := h.exec(nil, "myhost", "--", "echo", "here"); got.code != 0 || got.stdout != "here\n" {
		t.Errorf("another session: %+v", got)
	}
	if got := h.operator("status"); got.code != 0 || !strings.Contains(got.stdout, "audit trail") {
		t.Errorf("the operator: %+v", got)
	}
	h.run0("fsfreeze", "-u", dir)
	h.waitFor("the gap, and the end of both sessions", func() bool {
		all := h.drainedLines()
		has := func(good func(outputLine) bool) bool { return slices.ContainsFunc(all, good) }
		return has(func(l outputLine) bool { return l.Event == "session.gap" }) && has(func(l outputLine) bool { return l.Line == "here" }) &&
			has(func(l outputLine) bool { return strings.HasPrefix(l.Line, "5000 x") })
	})
	last, missing := 0, uint64(0)
	for _, l := range h.drainedLines() {
		if l.Event == "session.gap" {
			missing += l.Count
		}
		var n int
		if _, err := fmt.Sscanf(l.Line, "%d x", &n); err != nil {
			continue
		}
		if n < last || n > last+1 && missing == 0 {
			t.Fatalf("%d comes after %d", n, last)
		}
		last = n
	}
	if missing < 1<<20 {
		t.Errorf("%d bytes are missing", missing)
	}
	h.waitFor("every fact", func() bool {
		out := h.look("log", "--json", "--dir", filepath.Join(dir, "audit"), "--event", "session.ended").stdout
		return strings.Count(out, "\n") == 3
	})
	h.stop()
	if got := h.look("verify", "--state-dir", filepath.Join(h.dir, "state"), filepath.Join(dir, "audit")); got.code != 0 {
		t.Errorf("verify: %+v", got)
	}
}

// TestUpgradeOnAStuckDisk tries to replace an agent that waits for a disk: it goes
// on as it is, and is replaced when the disk answers.
func TestUpgradeOnAStuckDisk(t *testing.T) {
	dir := ""
	edit := func(h *host, c object) {
		if dir = ownDisk(t, h); dir != "" {
			recorded(object{"dir": dir})(h, c)
		}
	}
	h := newHost(t, edit)
	if dir == "" {
		return
	}
	if err := os.Chmod(h.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	h.install(nil)
	h.startWith(exec.Command(h.program(), "listen", "-c", h.config))
	flag := filepath.Join(h.dir, "go")
	held := onceThere(t, h, "debug", flag, numbers, floodLines)
	h.run0("fsfreeze", "-f", dir)
	if err := os.WriteFile(flag, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	held.stalled(h)
	h.install(nil)
	h.reload(goesOn)
	h.run0("fsfreeze", "-u", dir)
	h.reload(tookOver)
	held.whole(t, "the session that waited")
	h.waitFor("a complete recording", func() bool {
		files := recordings(t, dir)
		return len(files) == 1 && h.look("verify", "--state-dir", filepath.Join(h.dir, "state"), files[0]).code == 0
	})
	cast := h.export(recordings(t, dir)[0])
	if shown := strings.Join(castEvents(t, cast, "o"), ""); strings.Count(shown, "\n") != floodLines+1 {
		t.Errorf("the recording has %d lines", strings.Count(shown, "\n"))
	}
}
