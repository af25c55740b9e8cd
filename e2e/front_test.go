package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// frontPID finds the broker's child.
func (h *host) frontPID() int {
	out, _ := exec.Command("pgrep", "-P", strconv.Itoa(h.cmd.Process.Pid), "-f", "front").Output()
	pid, _ := strconv.Atoi(strings.TrimSpace(strings.SplitN(string(out), "\n", 2)[0]))
	return pid
}

// status reads fields of /proc/PID/status.
func status(t *testing.T, pid int) map[string]string {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := make(map[string]string)
	for _, line := range strings.Split(string(data), "\n") {
		if k, v, ok := strings.Cut(line, ":"); ok {
			fields[k] = strings.TrimSpace(v)
		}
	}
	return fields
}

func TestFrontHasNoPrivileges(t *testing.T) {
	needRoot(t)
	h := startHost(t, nil)
	s := status(t, h.frontPID())
	for _, c := range []struct{ field, want string }{
		{"CapEff", "0000000000000000"}, {"CapPrm", "0000000000000000"}, {"CapBnd", "0000000000000000"},
		{"CapAmb", "0000000000000000"}, {"NoNewPrivs", "1"}, {"Seccomp", "2"},
	} {
		if s[c.field] != c.want {
			t.Errorf("the front's %s is %q, want %q", c.field, s[c.field], c.want)
		}
	}
	for _, id := range strings.Fields(s["Uid"] + " " + s["Gid"]) {
		if id == "0" {
			t.Errorf("the front runs with Uid %s, Gid %s", s["Uid"], s["Gid"])
		}
	}
	// No pty, pipe or file of a session crosses to the front.
	dir := fmt.Sprintf("/proc/%d/fd", h.frontPID())
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		to, err := os.Readlink(filepath.Join(dir, e.Name()))
		// Go's runtime reads its CPU limit from the cgroup, and keeps that open.
		if err == nil && strings.HasPrefix(to, "/") && to != "/dev/null" && !strings.HasPrefix(to, "/sys/fs/cgroup/") {
			t.Errorf("the front has %s open as descriptor %s", to, e.Name())
		}
	}
}

func TestFrontIsRestarted(t *testing.T) {
	h := startHost(t, nil)
	for range 3 {
		old := h.frontPID()
		if err := syscall.Kill(old, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		h.waitFor("another front", func() bool { pid := h.frontPID(); return pid != 0 && pid != old && h.healthy() })
		if got := h.exec(nil, "debug", "myhost", "--", "echo", "still here"); got.stdout != "still here\n" {
			t.Fatalf("after the front died: %q, %q, code %d", got.stdout, got.stderr, got.code)
		}
	}
}

func TestCutConnectionIsAClearError(t *testing.T) {
	t.Parallel() // it mostly waits
	h := startHost(t, nil)
	proxy := newProxy(t, h.port)
	h.targetPort(proxy.port())
	done := make(chan result, 1)
	go func() { done <- h.exec(nil, "-n", "debug", "myhost", "--command", "echo started; sleep 600") }()
	h.waitFor("the session", func() bool { return strings.Contains(h.log.String(), "session opened") })
	proxy.close()
	got := <-done
	if got.code != 255 || got.stderr == "" {
		t.Errorf("after the cut: code %d, stderr %q; want 255 and a reason", got.code, got.stderr)
	}
}

func TestLostAnswerOfAnOpenRunsTheCommandOnce(t *testing.T) {
	h := startHost(t, nil)
	if got := h.exec(nil, "debug", "myhost", "--", "true"); got.code != 0 {
		t.Fatal(got.stderr)
	}
	proxy := newProxy(t, h.port)
	h.targetPort(proxy.port())
	file := fmt.Sprintf("/tmp/e2e-once-%d", os.Getpid())
	defer os.Remove(file)
	// The agent's answer is recognised by its size: TLS's own messages are let through.
	proxy.cutAnswer(func() bool { return strings.Contains(h.log.String(), file) })
	got := h.exec(nil, "debug", "myhost", "--", "sh", "-c", "echo x >> "+file)
	if got.code != 0 {
		t.Errorf("code %d, %q", got.code, got.stderr)
	}
	if proxy.cuts() == 0 {
		t.Error("the proxy cut nothing")
	}
	data, err := os.ReadFile(file)
	if err != nil || string(data) != "x\n" {
		t.Errorf("the file has %q (%v), want exactly one line", data, err)
	}
}

func TestReloadEndsWhatIsNoLongerAllowed(t *testing.T) {
	h := startHost(t, nil)
	s := shellScreen(t, h)
	s.remotePrompt()
	data, err := os.ReadFile(h.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(h.config, []byte(`{"sources": nonsense`), 0o600); err != nil {
		t.Fatal(err)
	}
	h.waitFor("the bad file to be noticed", func() bool { return strings.Contains(h.log.String(), "agent.json:1:") })
	s.line("clear; echo still al''lowed")
	s.see("still allowed")

	other := filepath.Join(h.dir, "bob")
	h.run0(agentBin, "keys", "generate", "--batch", "-o", other)
	changed := bytes.ReplaceAll(data, []byte(h.publicKey(h.key)), []byte(h.publicKey(other)))
	if err := os.WriteFile(h.config, changed, 0o600); err != nil {
		t.Fatal(err)
	}
	s.see("local$")
	if text := s.text(); !strings.Contains(text, "no longer allowed") {
		t.Errorf("the screen does not say why the session ended:\n%s", text)
	}
	if got := h.exec(nil, "debug", "myhost", "--", "true"); got.code != 255 {
		t.Errorf("the removed key still opens: code %d", got.code)
	}
	if got := h.exec(nil, "-i", other, "debug", "myhost", "--", "true"); got.code != 0 {
		t.Errorf("the new key does not open: code %d, %s", got.code, got.stderr)
	}
}

func TestCleanStopTellsSessions(t *testing.T) {
	h := startHost(t, nil)
	s := shellScreen(t, h)
	s.remotePrompt()
	h.stop()
	s.see("local$")
	if text := s.text(); !strings.Contains(text, "stopping") {
		t.Errorf("the screen does not say that the agent stopped:\n%s", text)
	}
}

func TestReadyIsToldToSystemd(t *testing.T) {
	h := newHost(t, nil)
	socket := filepath.Join(h.dir, "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	cmd := exec.Command(agentBin, "listen", "-c", h.config)
	cmd.Env = h.env("NOTIFY_SOCKET=" + socket)
	h.startWith(cmd)
	buf := make([]byte, 4096)
	n, err := conn.Read(buf)
	if err != nil || !strings.Contains(string(buf[:n]), "READY=1") {
		t.Errorf("notified %q (%v), want READY=1", buf[:n], err)
	}
}

func TestSocketActivation(t *testing.T) {
	h := newHost(t, func(h *host, c object) { c["listen"] = object{"address": "127.0.0.1:1"} })
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", h.port))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	// LISTEN_PID must be the agent's: a shell sets it and becomes the agent.
	cmd := exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$0" listen -c "$1"`, agentBin, h.config)
	cmd.Env = h.env("LISTEN_FDS=1")
	cmd.ExtraFiles = []*os.File{file}
	h.startWith(cmd)
	if got := h.exec(nil, "debug", "myhost", "--", "echo", "activated"); got.stdout != "activated\n" {
		t.Errorf("%q, %q, code %d", got.stdout, got.stderr, got.code)
	}
}

func TestIPv6AndDualStack(t *testing.T) {
	h := newHost(t, func(h *host, c object) { c["listen"] = object{"address": fmt.Sprintf(":%d", h.port)} })
	h.start()
	for _, name := range []string{"127.0.0.1", "::1", "localhost"} {
		h.writeJSON(h.client, object{"signingKeyPath": h.key, "targets": object{"myhost": object{"hostname": name, "port": h.port}}})
		if got := h.exec(nil, "debug", "myhost", "--", "echo", "here"); got.stdout != "here\n" {
			t.Errorf("%s: %q, %q, code %d", name, got.stdout, got.stderr, got.code)
		}
	}
}

func TestLogsSayWhoAndNoKeystrokes(t *testing.T) {
	h := startHost(t, func(h *host, c object) { c["log"] = object{"format": "json"} })
	if got := h.exec(strings.NewReader("secret-typed\n"), "debug", "myhost", "--", "cat"); got.code != 0 {
		t.Fatal(got.stderr)
	}
	h.exec(nil, "nothere", "myhost", "--", "true")
	h.waitFor("the refusal's line", func() bool { return strings.Contains(h.log.String(), "unknown_source") })
	log := h.log.String()
	if strings.Contains(log, "secret-typed") {
		t.Error("the log has what was typed")
	}
	opened := ""
	lines := bufio.NewScanner(strings.NewReader(log))
	for lines.Scan() {
		if strings.Contains(lines.Text(), "session opened") {
			opened = lines.Text()
		}
	}
	for _, field := range []string{`"session":"`, `"source":"debug"`, `"subject":`, `"key":"`, `"remote":"127.0.0.1:`} {
		if !strings.Contains(opened, field) {
			t.Errorf("the line of the open lacks %s: %s", field, opened)
		}
	}
}
