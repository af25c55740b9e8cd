package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// holders are what `agent share status --json` tells.
type holders struct {
	Connections []struct {
		PID      int    `json:"pid"`
		Target   string `json:"target"`
		Opened   int    `json:"opened"`
		Sessions []struct {
			ID      string `json:"sid"`
			Command string `json:"command"`
			Guest   int    `json:"guestPid"`
		} `json:"sessions"`
	} `json:"connections"`
}

// sharing prepares an agent whose client shares connections for a while, through
// a proxy that counts them.
func sharing(t *testing.T, idle string) (h *host, way *cutting) {
	t.Helper()
	h = startHost(t, nil)
	way = newCutting(t, h.port, faults{})
	h.writeJSON(h.client, object{
		"signingKeyPath": h.key, "share": idle,
		"targets": object{"myhost": object{"hostname": "127.0.0.1", "port": way.port(), "source": "debug"}},
	})
	t.Cleanup(func() { h.shareStop("--now") })
	return h, way
}

func (h *host) holders() (all holders) {
	h.t.Helper()
	if err := json.Unmarshal([]byte(h.run0(agentBin, "share", "status", "--json")), &all); err != nil {
		h.t.Fatal(err)
	}
	return all
}

// holder is the one that there must be.
func (h *host) holder() (pid int) {
	h.t.Helper()
	all := h.holders().Connections
	if len(all) != 1 {
		h.t.Fatalf("%d processes hold a connection, want 1: %+v", len(all), all)
	}
	return all[0].PID
}

func (h *host) shareStop(args ...string) {
	h.t.Helper()
	h.run0(agentBin, append([]string{"share", "stop"}, args...)...)
}

// says runs echo and fails unless it comes back.
func (h *host) says(word string) {
	h.t.Helper()
	if r := h.exec(nil, "debug", "myhost", "--", "echo", word); r.code != 0 || r.stdout != word+"\n" {
		h.t.Fatalf("echo %s: code %d, stdout %q, stderr %q", word, r.code, r.stdout, r.stderr)
	}
}

func TestSharedCallsUseOneConnection(t *testing.T) {
	h, way := sharing(t, "5m")
	h.says("first")
	first := way.accepted.Load()
	for i := range 5 {
		h.says(fmt.Sprint("again", i))
	}
	// The first call settles the host key and opens; then one connection is kept
	// ready for a call that comes while another one's is in use.
	if more := way.accepted.Load() - first; more > 2 {
		t.Errorf("%d connections for five more calls", more)
	}
	all := h.holders().Connections
	if len(all) != 1 || all[0].Target != "myhost" || all[0].Opened != 6 {
		t.Errorf("status: %+v", all)
	}
	if table := h.run0(agentBin, "share", "status"); !strings.Contains(table, "myhost") {
		t.Errorf("status says %q", table)
	}
	h.shareStop("myhost")
	h.waitFor("the holder to end", func() bool { return len(h.holders().Connections) == 0 })

	off := h.exec(nil, "--share=off", "debug", "myhost", "--", "echo", "alone")
	if off.stdout != "alone\n" || len(h.holders().Connections) != 0 {
		t.Errorf("--share=off: %+v, %+v", off, h.holders())
	}
}

func TestSharedPipesAreExact(t *testing.T) {
	h, _ := sharing(t, "5m")
	for _, x := range []transfer{{down: 20 << 20, up: 20 << 20, code: 3}, {code: 0}, {down: 1, up: 1, code: 255}} {
		if err := x.run(h); err != nil {
			t.Error(err)
		}
	}
	for _, c := range []struct {
		args []string
		code int
	}{
		{[]string{"--", "sh", "-c", "kill -9 $$"}, 137},
		{[]string{"--", "/no/such/program"}, 127},
		{[]string{"-n", "--", "cat"}, 0},
	} {
		if r := h.exec(nil, append([]string{"debug", "myhost"}, c.args...)...); r.code != c.code {
			t.Errorf("%v: code %d, want %d: %s", c.args, r.code, c.code, r.stderr)
		}
	}
	if r := h.exec(nil, "nosuch", "myhost", "--", "true"); r.code != 255 || !strings.Contains(r.stderr, "refused") {
		t.Errorf("a source that is not there: %+v", r)
	}
	if all := h.holders().Connections; len(all) != 1 || all[0].Opened < 6 {
		t.Errorf("not shared: %+v", all)
	}
}

func TestSharedShellOnATerminal(t *testing.T) {
	h, _ := sharing(t, "5m")
	h.says("held")
	s := shellScreen(t, h)
	s.remotePrompt()
	s.line("tty; stty size")
	s.see("30 100")
	s.resize(90, 20)

	s.line("clear; echo sleep''ing; sleep 1000")
	s.see("sleeping\n")
	s.keys("C-c")
	s.see("^C\nremote$")
	s.line("echo status=$?")
	s.see("status=130")
	s.line("clear; echo doz''ing; sleep 1001") // another word than what the screen shows
	s.see("dozing\n")
	s.keys("C-z")
	s.see("Stopped")
	s.line("kill %1; wait; clear; echo go''ne")
	s.see("gone")
	s.line("clear; seq 1 200000")
	s.see("200000\nremote$")

	all := h.holders().Connections
	if len(all) != 1 || len(all[0].Sessions) != 1 {
		t.Fatalf("sessions of the holder: %+v", all)
	}
	s.line("exit 7")
	s.see("local$")
	// What the shell's terminal is like after a client that did not own its connection.
	s.line("echo code=$?; stty -a | grep -o ' echo ' | head -1; grep flags /proc/self/fdinfo/0")
	s.see("code=7")
	s.see("\n echo")
	s.see("flags:") // the last of it
	if text := s.text(); !strings.Contains(text, "flags:") || nonBlocking(text) {
		t.Errorf("the terminal was left non-blocking:\n%s", text)
	}
}

// nonBlocking reads the octal flags of proc_pid_fdinfo(5).
func nonBlocking(text string) bool {
	_, after, _ := strings.Cut(text, "flags:")
	var flags int
	_, _ = fmt.Sscanf(strings.TrimSpace(after), "%o", &flags)
	return flags&syscall.O_NONBLOCK != 0
}

func TestSharedShellIsSuspended(t *testing.T) {
	h, _ := sharing(t, "5m")
	h.says("held")
	s := newScreen(t, h, "env", "PS1=local$ ", "bash", "--norc", "-i")
	s.see("local$")
	s.line(agentBin + " shell -c " + h.client + " debug myhost")
	s.remotePrompt()
	s.keys("Enter")
	s.keys("~", "C-z")
	s.see("local$")
	s.see("suspended")
	s.line("clear; fg")
	s.line("echo go''es on")
	s.see("goes on")
	s.line("exit 9")
	s.see("local$")
	s.line("echo code=$?")
	s.see("code=9")
}

func TestOneOfManyBecomesTheHolder(t *testing.T) {
	h, _ := sharing(t, "5m")
	h.exec(nil, "--share=off", "debug", "myhost", "--", "true") // whose key is known then
	const calls = 8
	var wg sync.WaitGroup
	var results [calls]result
	for i := range calls {
		wg.Go(func() { results[i] = h.exec(nil, "debug", "myhost", "--", "echo", fmt.Sprint(i)) })
	}
	wg.Wait()
	for i, r := range results {
		if r.code != 0 || r.stdout != fmt.Sprintln(i) {
			t.Errorf("call %d: %+v", i, r)
		}
	}
	if all := h.holders().Connections; len(all) != 1 || all[0].Opened != calls {
		t.Errorf("%+v, want one holder of %d sessions", all, calls)
	}
}

func TestHolderEndsWhenItsTimePasses(t *testing.T) {
	h, _ := sharing(t, "1s")
	h.says("short")
	pid := h.holder()
	h.waitFor("the holder to end", func() bool { return syscall.Kill(pid, 0) == syscall.ESRCH })
	sockets, err := filepath.Glob(filepath.Join(h.dir, ".cache", "shellagent-share", "*.sock"))
	if err != nil || len(sockets) != 0 {
		t.Errorf("left behind: %v, %v", sockets, err)
	}
	h.says("again")
}

func TestSocketsOfOthersAreNotTrusted(t *testing.T) {
	h, _ := sharing(t, "5m")
	dir := filepath.Join(h.dir, ".cache", "shellagent-share")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o770); err != nil {
		t.Fatal(err)
	}
	refused := func(why string) {
		t.Helper()
		r := h.exec(nil, "debug", "myhost", "--", "echo", "own")
		if r.stdout != "own\n" || !strings.Contains(r.stderr, "not shared") {
			t.Errorf("%s: %+v", why, r)
		}
	}
	refused("a directory that others may write")
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() != 0 {
		return
	}
	if err := os.Chown(dir, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	refused("somebody else's directory")
	if err := os.Chown(dir, 0, 0); err != nil {
		t.Fatal(err)
	}
	h.says("shared")
	h.holder()
}

func TestSessionOutlivesCutsOfASharedConnection(t *testing.T) {
	h, way := sharing(t, "5m")
	h.says("held")
	done := make(chan error, 1)
	go func() { done <- transfer{down: 8_000_000, up: 1 << 20, slow: true, code: 4}.run(h) }()
	h.waitFor("the session to be open", func() bool {
		all := h.holders().Connections
		return len(all) == 1 && len(all[0].Sessions) == 1
	})
	for range 3 {
		before := way.accepted.Load()
		way.cutAll()
		h.waitFor("another connection", func() bool { return way.accepted.Load() > before })
	}
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(2 * time.Minute):
		t.Error("the transfer did not end")
	}
}
