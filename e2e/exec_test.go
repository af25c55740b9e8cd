package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestExecBehavesLikeSSH(t *testing.T) {
	h := startHost(t, nil)
	for _, c := range []struct {
		name   string
		args   []string
		stdin  string
		stdout string
		stderr string // a part of it
		code   int
	}{
		{"argv", []string{"debug", "myhost", "--", "echo", "two  words", "$HOME"}, "", "two  words $HOME\n", "", 0},
		{"command string", []string{"debug", "myhost", "--command", "echo a; echo b >&2; exit 7"}, "", "a\n", "b\n", 7},
		{"source at target", []string{"debug@myhost", "--", "true"}, "", "", "", 0},
		{"the target's own source", []string{"myhost", "--", "false"}, "", "", "", 1},
		{"stdin to its end", []string{"debug", "myhost", "--", "cat"}, "one\ntwo", "one\ntwo", "", 0},
		{"no stdin", []string{"-n", "debug", "myhost", "--", "cat"}, "ignored", "", "", 0},
		{"kill -9", []string{"debug", "myhost", "--command", "kill -9 $$"}, "", "", "", 137},
		{"kill -TERM", []string{"debug", "myhost", "--command", "kill -TERM $$"}, "", "", "", 143},
		{"unknown command", []string{"debug", "myhost", "--", "no-such-command"}, "", "", "no-such-command", 127},
		{"not executable", []string{"debug", "myhost", "--", "/etc/passwd"}, "", "", "/etc/passwd", 126},
		{"unknown in a shell", []string{"debug", "myhost", "--command", "no-such-command"}, "", "", "no-such-command", 127},
		{"unknown source", []string{"nothere", "myhost", "--", "true"}, "", "", "refused", 255},
		{"no command", []string{"debug", "myhost"}, "", "", "", 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := h.exec(strings.NewReader(c.stdin), c.args...)
			if got.stdout != c.stdout || got.code != c.code || !strings.Contains(got.stderr, c.stderr) {
				t.Errorf("stdout %q, stderr %q, code %d; want %q, …%q…, %d", got.stdout, got.stderr, got.code, c.stdout, c.stderr, c.code)
			}
		})
	}
	t.Run("every exit code", func(t *testing.T) {
		var wg sync.WaitGroup
		slots := make(chan struct{}, 8)
		for code := range 256 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				slots <- struct{}{}
				defer func() { <-slots }()
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				defer cancel()
				cmd := h.clientCmd(ctx, "exec", "--accept-new", "debug", "myhost", "--command", fmt.Sprintf("exit %d", code))
				out, _ := cmd.CombinedOutput()
				if got := cmd.ProcessState.ExitCode(); got != code {
					t.Errorf("exit %d came back as %d: %s", code, got, out)
				}
			}()
		}
		wg.Wait()
	})
}

func TestExecRunsAsTheSourcesUser(t *testing.T) {
	needRoot(t)
	h := startHost(t, nil)
	got := h.exec(nil, "debug", "myhost", "--command", `id -un; id -gn; id -Gn; pwd; echo "$HOME $USER $LOGNAME $SHELL"; tty; grep -E '^Cap(Eff|Prm)' /proc/self/status; cat /proc/self/oom_score_adj`)
	groups := strings.TrimSpace(h.run0("id", "-Gn", "operator"))
	home := strings.TrimSpace(h.run0("sh", "-c", "getent passwd operator | cut -d: -f6"))
	want := fmt.Sprintf("operator\noperator\n%s\n%s\n%s operator operator /bin/bash\nnot a tty\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n0\n", groups, home, home)
	if got.stdout != want || got.code != 1 && got.code != 0 {
		t.Errorf("got\n%s\n%s\nwant\n%s", got.stdout, got.stderr, want)
	}
}

func TestFiftyMegabytesBothWays(t *testing.T) {
	h := startHost(t, nil)
	data := make([]byte, 50<<20)
	_, _ = rand.Read(data)
	sum := fmt.Sprintf("%x", sha256.Sum256(data))
	t.Run("up", func(t *testing.T) {
		got := h.exec(bytes.NewReader(data), "debug", "myhost", "--", "sha256sum")
		if !strings.HasPrefix(got.stdout, sum) {
			t.Errorf("sent %s, arrived %s %s (code %d)", sum, got.stdout, got.stderr, got.code)
		}
	})
	t.Run("down", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "data")
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
		for dir := filepath.Dir(file); dir != "/" && dir != os.TempDir(); dir = filepath.Dir(dir) {
			_ = os.Chmod(dir, 0o755)
		}
		got := h.exec(nil, "debug", "myhost", "--", "cat", file)
		if arrived := fmt.Sprintf("%x", sha256.Sum256([]byte(got.stdout))); arrived != sum {
			t.Errorf("sent %s, arrived %s: %d bytes, %s (code %d)", sum, arrived, len(got.stdout), got.stderr, got.code)
		}
	})
	t.Run("through", func(t *testing.T) {
		got := h.exec(bytes.NewReader(data), "debug", "myhost", "--", "cat")
		if arrived := fmt.Sprintf("%x", sha256.Sum256([]byte(got.stdout))); arrived != sum || got.code != 0 {
			t.Errorf("sent %s, arrived %s: %d bytes, %s (code %d)", sum, arrived, len(got.stdout), got.stderr, got.code)
		}
	})
}

func TestSixtySessionsLeaveNothing(t *testing.T) {
	h := startHost(t, func(h *host, c object) {
		source := h.debugSource()
		source["maxSessions"] = 60
		c["sources"] = object{"debug": source}
	})
	h.exec(nil, "debug", "myhost", "--", "true")
	before, few := descriptors(t, h.cmd.Process.Pid)
	marker := fmt.Sprintf("4%d", os.Getpid())
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	for i := range 60 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			args := []string{"--accept-new", "debug", "myhost", "--command", "setsid sleep " + marker + " & sleep " + marker}
			if i%2 == 0 {
				args = append([]string{"-t"}, args...)
			}
			cmd := h.clientCmd(ctx, "exec", args...)
			_ = cmd.Run()
		}()
	}
	count := func() int {
		out, _ := exec.Command("pgrep", "-fc", "^sleep "+marker+"$").Output()
		var n int
		fmt.Sscan(string(out), &n)
		return n
	}
	h.waitFor("120 sleeping processes", func() bool { return count() == 120 })
	refused := h.exec(nil, "debug", "myhost", "--", "true")
	if refused.code != 255 || !strings.Contains(refused.stderr, "maxSessions") {
		t.Errorf("the 61st session: code %d, %q", refused.code, refused.stderr)
	}
	list := h.runClient(nil, "sessions", "--json", "myhost")
	var ids []string
	for _, part := range strings.Split(list.stdout, `"sid":`)[1:] {
		ids = append(ids, strings.Split(part, `"`)[1])
	}
	if len(ids) < 60 {
		t.Fatalf("agent sessions shows %d sessions:\n%s%s", len(ids), list.stdout, list.stderr)
	}
	if got := h.runClient(nil, "kill", append([]string{"myhost"}, ids...)...); got.code != 0 {
		t.Fatalf("kill: code %d, %s%s", got.code, got.stdout, got.stderr)
	}
	wg.Wait()
	h.waitFor("every process to be gone", func() bool { return count() == 0 })
	h.waitFor("every descriptor to be closed", func() bool {
		files, sockets := descriptors(t, h.cmd.Process.Pid)
		// The front keeps at most 64 idle connections to the broker.
		return files <= before && sockets <= few+64
	})
}

// descriptors counts those of the agent's broker.
func descriptors(t *testing.T, pid int) (files, sockets int) {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if to, _ := os.Readlink(filepath.Join(dir, e.Name())); strings.HasPrefix(to, "socket:") {
			sockets++
		} else {
			files++
		}
	}
	return files, sockets
}

// Scripts write to their streams by name.
func TestStreamsCanBeOpened(t *testing.T) {
	h := startHost(t, nil)
	got := h.exec(strings.NewReader("in"), "debug", "myhost", "--", "sh", "-c", "cat /dev/stdin | tee /dev/stderr >/dev/stdout")
	if got.code != 0 || got.stdout != "in" || !strings.HasSuffix(got.stderr, "in") {
		t.Errorf("%+v", got)
	}
}
