package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// smallDisk is a folder with room for a megabyte; "" when none can be had here.
func smallDisk(t *testing.T, h *host) string {
	t.Helper()
	needRoot(t)
	dir := filepath.Join(h.dir, "small")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Logf("NOT RUN: a full disk: this machine lets nobody mount a tmpfs: %v", err)
		return ""
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

// tooMuch is a command whose output does not fit on the disk, however it is packed.
const tooMuch = `trap '' HUP; head -c 6000000 /dev/urandom | base64; sleep 1000`

func TestFullDiskEndsWhatHasToBeRecorded(t *testing.T) {
	needRoot(t)
	full := ""
	h := newHost(t, func(h *host, c object) {
		if full = smallDisk(t, h); full != "" {
			recorded(object{"dir": full})(h, c)
		}
		c["metrics"] = object{"address": fmt.Sprintf("127.0.0.1:%d", freePort(t))}
	})
	if full == "" {
		return
	}
	h.start()
	got := h.exec(nil, "debug", "myhost", "--", "bash", "-c", tooMuch)
	if got.code == 0 || !strings.Contains(got.stderr, "has to be recorded: no space left on device") {
		t.Errorf("exit %d: %s", got.code, tail(got.stderr, 500))
	}
	h.waitFor("the log to say why", func() bool {
		log := h.log.String()
		return strings.Contains(log, "a session cannot be recorded") && strings.Contains(log, "recording failed: no space left on device")
	})
	for _, file := range recordings(t, full) {
		verdict := h.look("verify", "--state-dir", filepath.Join(h.dir, "state"), file)
		if verdict.code != 1 || !strings.Contains(verdict.stdout, "CUT at byte") {
			t.Errorf("verify: %d %s", verdict.code, verdict.stdout)
		}
	}
	// What is left on the disk is not enough to begin with.
	if err := exec.Command("sh", "-c", "cat /dev/zero >"+filepath.Join(full, "rest")).Run(); err == nil {
		t.Fatal("the disk has no end")
	}
	if got := h.exec(nil, "debug", "myhost", "--", "true"); got.code != 255 || !strings.Contains(got.stderr, "the recording could not be begun") {
		t.Errorf("on a full disk: %d %s", got.code, got.stderr)
	}
}

func TestFullDiskIsSaidWhereRecordingIsNotRequired(t *testing.T) {
	needRoot(t)
	full := ""
	h := newHost(t, func(h *host, c object) {
		if full = smallDisk(t, h); full != "" {
			recorded(object{"dir": full, "required": false})(h, c)
		}
	})
	if full == "" {
		return
	}
	h.start()
	got := h.exec(nil, "debug", "myhost", "--", "bash", "-c", "head -c 6000000 /dev/urandom | base64; sleep 2; exit 4")
	if got.code != 4 || len(got.stdout) < 8000000 || !strings.Contains(got.stderr, "not recorded any more: no space left on device") {
		t.Errorf("exit %d, %d bytes: %s", got.code, len(got.stdout), got.stderr)
	}
}

// TestKillsUnderARecording kills the front, which no recording notices, and then
// the broker: what was shown more than a second before is there, and verify says
// where it stops.
func TestKillsUnderARecording(t *testing.T) {
	h := startHost(t, recorded(true))
	client := startedClient(t, h, fmt.Sprintf(counting, 100000))
	h.killFront()
	var file string
	h.waitFor("a hundred numbers in the recording", func() bool {
		files := recordings(t, filepath.Join(h.dir, "state", "recordings"))
		if len(files) != 1 {
			return false
		}
		file = files[0]
		last, _ := counted(t, h.look("export", file).stdout)
		return last > 100
	})
	if err := h.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	killed := time.Now()
	<-h.done
	h.cmd = nil
	_ = client.Process.Kill()

	verdict := h.look("verify", "--state-dir", filepath.Join(h.dir, "state"), file)
	if verdict.code != 1 || !strings.Contains(verdict.stdout, "CUT at byte") {
		t.Errorf("verify: %d %s", verdict.code, verdict.stdout)
	}
	got := h.look("export", file)
	last, at := counted(t, got.stdout)
	if !strings.Contains(got.stderr, "before the session's end") {
		t.Errorf("export: %s", got.stderr)
	}
	// A segment's second, and as much for a machine that has something else to do.
	if missing := killed.Sub(at); missing > 2*time.Second {
		t.Errorf("the recording ends at %d, %v before the agent's end", last, missing)
	}
	h.start() // and ends what is left
}
