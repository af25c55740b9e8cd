package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// part is what a file is called until it is whole.
func part(name string) string {
	return filepath.Join(filepath.Dir(name), "."+filepath.Base(name)+".agent-part")
}

// startCopy runs cp until a file's part has so many bytes, and returns it then.
func (h *host) startCopy(to string, atLeast int64, args ...string) *exec.Cmd {
	h.t.Helper()
	cmd := h.clientCmd(context.Background(), "cp", append([]string{"--accept-new"}, args...)...)
	said := &syncBuffer{}
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = cmd.Process.Kill() })
	h.waitFor(fmt.Sprintf("%d bytes of %s (%s)", atLeast, part(to), said), func() bool {
		info, err := os.Stat(part(to))
		return err == nil && info.Size() >= atLeast
	})
	return cmd
}

// A copy whose client is killed is gone on with by the next one, whichever side
// the file is on; what was there before stays until the new one is whole.
func TestCopyGoesOnAfterAKill(t *testing.T) {
	there := served(t)
	h := startHost(t, policed(nil))
	large := h.dir + "/large"
	writeLarge(t, large, 48)
	if err := os.Chmod(h.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ from, to, at string }{
		{large, "myhost:" + there + "/in/large", there + "/in/large"},
		{"myhost:" + large, h.dir + "/back", h.dir + "/back"},
	} {
		if err := os.WriteFile(c.at, []byte("the one before"), 0o666); err != nil {
			t.Fatal(err)
		}
		for _, how := range []os.Signal{syscall.SIGKILL, syscall.SIGINT} {
			before := int64(0)
			if info, err := os.Stat(part(c.at)); err == nil {
				before = info.Size()
			}
			cmd := h.startCopy(c.at, before+4<<20, "--bwlimit", "8M", c.from, c.to)
			if err := cmd.Process.Signal(how); err != nil {
				t.Fatal(err)
			}
			err := cmd.Wait()
			if said := fmt.Sprint(cmd.Stderr); how == syscall.SIGINT && (cmd.ProcessState.ExitCode() != 130 || !strings.Contains(said, "--update goes on with it")) {
				t.Errorf("%v: %s", err, said)
			}
			if info, err := os.Stat(part(c.at)); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%v, %v", info, err)
			}
			if got, err := os.ReadFile(c.at); err != nil || string(got) != "the one before" {
				t.Errorf("%s has %d bytes, %v", c.at, len(got), err)
			}
		}
		if got := h.mustCopy("--update", c.from, c.to); got.Resumed < 8<<20 || got.Bytes+got.Resumed != 48<<20 {
			t.Errorf("%+v", got)
		}
		h.run0("cmp", large, c.at)
		if _, err := os.Stat(part(c.at)); err == nil {
			t.Errorf("%s is left", part(c.at))
		}
	}
}

// Connections that break are made again under a copy, which does not notice.
func TestCopyThroughCuts(t *testing.T) {
	there := served(t)
	h := startHost(t, policed(nil))
	from := h.dir + "/from"
	writeFiles(t, from, 300)
	writeLarge(t, from+"/large", 24)
	proxy := newCutting(t, h.port, faults{cuts: many(25, 200)})
	port := fmt.Sprint(proxy.port())
	if got := h.exec(strings.NewReader(""), "--port", port, "myhost", "--", "true"); got.code != 0 {
		t.Fatalf("%+v", got)
	}
	proxy.arm()
	for i := 0; i < 20 && proxy.made.Load() < int64(proxy.faults.cuts); i++ {
		h.mustCopy("-P", port, from, "myhost:"+there+"/in/tree")
		sameTrees(t, "there", from, there+"/in/tree")
		h.mustCopy("-P", port, "myhost:"+there+"/in/tree", h.dir+"/back")
		sameTrees(t, "back", from, h.dir+"/back")
		for _, dir := range []string{there + "/in/tree", h.dir + "/back"} {
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Logf("%d cuts", proxy.made.Load())
	if proxy.made.Load() == 0 {
		t.Error("nothing was cut")
	}
}

// A disk that is full costs the files that it has no room for, and says so; what
// was there stays, and what was begun can be gone on with.
func TestCopyToAFullDisk(t *testing.T) {
	needRoot(t)
	there := served(t)
	h := startHost(t, policed(nil))
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=6m,mode=0777", "none", there+"/in").CombinedOutput(); err != nil {
		t.Logf("NOT RUN: a full disk: this machine mounts none: %v: %s", err, out)
		return
	}
	t.Cleanup(func() { _ = exec.Command("umount", "-l", there+"/in").Run() })
	from := h.dir + "/from"
	writeFiles(t, from, 50)
	writeLarge(t, from+"/large", 16)
	if err := os.WriteFile(there+"/in/large", []byte("the one before"), 0o666); err != nil {
		t.Fatal(err)
	}
	got, c := h.cp(from+"/.", "myhost:"+there+"/in")
	if got.code != 1 || c.Problems == 0 || !strings.Contains(got.stdout, `/in/large","text":"write: no space left on device"`) {
		t.Errorf("%+v", got)
	}
	if text, err := os.ReadFile(there + "/in/large"); err != nil || string(text) != "the one before" {
		t.Errorf("%d bytes, %v", len(text), err)
	}
	if info, err := os.Stat(part(there + "/in/large")); err != nil || info.Size() < 1<<20 {
		t.Errorf("%v, %v", info, err)
	}
	h.run0("mount", "-o", "remount,size=64m", there+"/in")
	if c := h.mustCopy("-u", from+"/.", "myhost:"+there+"/in"); c.Resumed < 1<<20 {
		t.Errorf("%+v", c)
	}
	sameTrees(t, "with room", from, there+"/in")
}

// Two copies to one place at once: whoever looks sees whole files of either.
func TestCopiesToOnePlaceAtOnce(t *testing.T) {
	there := served(t)
	h := startHost(t, policed(nil))
	var froms [2]string
	for i := range froms {
		froms[i] = filepath.Join(h.dir, fmt.Sprint("from", i))
		writeFiles(t, froms[i], 200)
		writeLarge(t, froms[i]+"/large", 12+i)
	}
	h.mustCopy(froms[0]+"/.", "myhost:"+there+"/in")
	var group sync.WaitGroup
	for i := range froms {
		group.Go(func() {
			if got, _ := h.cp(froms[i]+"/.", "myhost:"+there+"/in"); got.code != 0 {
				t.Errorf("%+v", got)
			}
		})
	}
	group.Wait()
	if exec.Command("cmp", froms[0]+"/large", there+"/in/large").Run() != nil {
		h.run0("cmp", froms[1]+"/large", there+"/in/large")
	}
	h.run0("diff", "-r", "-x", "large", froms[0], there+"/in")
	if left := h.run0("find", there, "-name", ".*.agent-part"); left != "" {
		t.Errorf("left: %s", left)
	}
}

// Somebody who waits sees how far it is and how long it takes.
func TestCopyShowsHowItGoes(t *testing.T) {
	there := served(t)
	h := startHost(t, policed(nil))
	large := h.dir + "/a large file"
	writeLarge(t, large, 24)
	s := newScreen(t, h, "sh", "-c", fmt.Sprintf("%s cp --accept-new -c %s --bwlimit 6M '%s' myhost:%s/in/; echo code $?; cat", agentBin, h.client, large, there))
	for _, what := range []string{"MiB of 24 MiB", "MiB/s", "s left", "a large file"} {
		s.see(what)
	}
	s.see("code 0")
	s.see("1 file, 24 MiB in ")
	s.seeNot("left")
	if lines := strings.Count(strings.TrimSpace(s.text()), "\n"); lines > 3 {
		t.Errorf("the bar has left something:\n%s", s.text())
	}
}

// What speaks the protocol by itself is held to it, whatever it says.
func TestCopyServerWithOtherClients(t *testing.T) {
	there := served(t)
	h := startHost(t, policed(nil))
	for name, said := range map[string]string{
		"nothing": "", "something else": strings.Repeat("GET / HTTP/1.1\r\n", 1000), "another version": "shellagent-copy 9\n\x01\x00\x00\x00",
		"half":   "shellagent-copy 1\n\x01\x00",
		"a lot":  "shellagent-copy 1\n\x01\xff\xff\xff" + strings.Repeat("x", 1<<20),
		"escape": "shellagent-copy 1\n\x01\x00\x00\x0b\x01\x08\x01\x07../etc/" + "\x13\x00\x00\x00",
	} {
		began := time.Now()
		got := h.runClient(strings.NewReader(said), "exec", "--accept-new", "--subsystem", "copy", "debug", "myhost")
		if got.code == 0 && name != "escape" || got.code == 255 || strings.Contains(got.stderr, "panic") {
			t.Errorf("%s, after %v: %+v", name, time.Since(began), got)
		}
	}
	if got := h.run0("find", there, "-mindepth", "2"); got != "" {
		t.Errorf("%s", got)
	}
}
