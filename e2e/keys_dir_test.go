package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Keys come and go as files in a directory while the agent runs: one that is put
// there lets its person in, one that is taken away ends their sessions, and one
// that others could write changes nothing.
func TestKeysInADirectory(t *testing.T) {
	keys := ""
	h := startHost(t, func(h *host, c object) {
		keys = filepath.Join(h.dir, "keys.d")
		if err := os.Mkdir(keys, 0o700); err != nil {
			h.t.Fatal(err)
		}
		c["verifyKeysDir"] = keys
	})
	bob, line := h.newKey("bob")
	in := func() bool { return h.exec(nil, "-i", bob, "myhost", "--", "true").code == 0 }
	put := func(name string, mode os.FileMode) {
		t.Helper()
		// As an editor does it: whole, or not there.
		next := filepath.Join(keys, "."+name)
		if err := os.WriteFile(next, []byte(line+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(next, mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, filepath.Join(keys, name)); err != nil {
			t.Fatal(err)
		}
	}
	if in() {
		t.Fatal("bob is in before his key is there")
	}
	put("bob.pub", 0o666)
	h.waitFor("the file that others can write to be told", func() bool {
		return strings.Contains(h.log.String(), "bob.pub is writable by others")
	})
	if in() {
		t.Error("a key that others could have put there opens")
	}
	put("bob.pub", 0o600)
	h.waitFor("bob's key to count", in)
	alices, bobs := h.hold("debug@myhost"), h.hold("-i", bob, "debug@myhost")
	if err := os.Remove(filepath.Join(keys, "bob.pub")); err != nil {
		t.Fatal(err)
	}
	if got := h.endedIn(bobs); got.code == 0 || !strings.Contains(got.stderr, "no longer allowed") {
		t.Errorf("%+v", got)
	}
	if in() {
		t.Error("a key that was taken away opens")
	}
	if got := h.operator("kill", "--all"); got.stdout != "ended 1 session\n" {
		t.Errorf("alice's session is not the one that is left: %+v", got)
	}
	h.endedIn(alices)
}

// As sshd does, the agent takes nothing from files that others can write.
func TestFilesOfOthersAreNotRead(t *testing.T) {
	for name, spoil := range map[string]func(h *host) string{
		"the configuration": func(h *host) string { return h.config },
		"its directory":     func(h *host) string { return h.dir },
		"a part of it": func(h *host) string {
			dir := filepath.Join(h.dir, "sources.d")
			if err := os.Mkdir(dir, 0o755); err != nil {
				h.t.Fatal(err)
			}
			h.writeJSON(filepath.Join(dir, "more.json"), object{"sources": object{"more": h.debugSource()}})
			return filepath.Join(dir, "more.json")
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, nil)
			file := spoil(h)
			if got := h.check(); got.code != 0 {
				t.Fatalf("before: %+v", got)
			}
			info, err := os.Stat(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(file, info.Mode().Perm()|0o002); err != nil {
				t.Fatal(err)
			}
			want := filepath.Base(file) + " is writable by others"
			if got := h.check(); got.code == 0 || !strings.Contains(got.stderr, want) {
				t.Errorf("check: %+v", got)
			}
			out, err := exec.Command(agentBin, "listen", "-c", h.config).CombinedOutput()
			if err == nil || !strings.Contains(string(out), want) {
				t.Errorf("listen: %v, %s", err, out)
			}
		})
	}
}

// What the sources allow and the host does not is said at the start.
func TestLowLimitsAreTold(t *testing.T) {
	h := newHost(t, func(h *host, c object) {
		source := h.debugSource()
		source["maxSessions"] = 100000
		c["sources"] = object{"debug": source}
	})
	h.startWith(exec.Command("sh", "-c", `ulimit -n 1100; exec "$0" listen -c "$1"`, agentBin, h.config))
	for _, want := range []string{"level=WARN", "LimitNOFILE", "kernel.pty.max", "lower maxSessions"} {
		if !strings.Contains(h.log.String(), want) {
			t.Errorf("the start does not speak of %s:\n%s", want, h.log)
		}
	}
}
