package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// upgradable starts an agent from a file of its own, which a test replaces.
func upgradable(t *testing.T, edit func(h *host, config object)) *host {
	t.Helper()
	h := newHost(t, edit)
	h.install(nil)
	h.startWith(exec.Command(h.program(), "listen", "-c", h.config))
	return h
}

func (h *host) program() string { return filepath.Join(h.dir, "agent") }

// install puts a program in the place of the agent's, as a package manager does:
// text, or the agent with a byte more at its end, which changes nothing.
func (h *host) install(text []byte) {
	h.t.Helper()
	if text == nil {
		agent, err := os.ReadFile(agentBin)
		if err != nil {
			h.t.Fatal(err)
		}
		text = append(agent, 0)
	}
	next := h.program() + ".new"
	// A child that another test forks meanwhile would have the file open for
	// writing until its own exec, and nobody can execute what somebody writes.
	syscall.ForkLock.RLock()
	err := os.WriteFile(next, text, 0o755)
	syscall.ForkLock.RUnlock()
	if err != nil {
		h.t.Fatal(err)
	}
	if err := os.Rename(next, h.program()); err != nil {
		h.t.Fatal(err)
	}
}

// reload sends SIGHUP and waits for the log to have one more line with want.
func (h *host) reload(want string) {
	h.t.Helper()
	before := strings.Count(h.log.String(), want)
	if err := h.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		h.t.Fatal(err)
	}
	h.waitFor("the log to say "+want, func() bool { return strings.Count(h.log.String(), want) > before })
	h.waitFor("the agent to answer", h.healthy)
}

const (
	tookOver = "took over from the agent before"
	goesOn   = "the agent goes on as it is"
)

// killFront kills the front that runs, and returns when there is another.
func (h *host) killFront() {
	h.t.Helper()
	front := h.frontPID()
	if err := syscall.Kill(front, syscall.SIGKILL); err != nil {
		h.t.Fatalf("kill front %d: %v", front, err)
	}
	h.waitFor("another front", func() bool { pid := h.frontPID(); return pid != 0 && pid != front })
}

// children lists the agent's children but for the front: the sessions' programs.
func (h *host) children() []int {
	out, _ := exec.Command("pgrep", "-P", strconv.Itoa(h.cmd.Process.Pid)).Output()
	var pids []int
	for _, field := range strings.Fields(string(out)) {
		if pid, err := strconv.Atoi(field); err == nil && pid != h.frontPID() {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids
}

// flow is a session that sends back what it gets, for as long as a test wants.
type flow struct {
	code int
	over chan struct{} // closed when no more is to be sent
	sent counter
}

// Read makes input at some 4 MB a second, so that it takes as long as the test.
func (f *flow) Read(p []byte) (int, error) {
	p = p[:min(len(p), 40<<10)]
	tick := time.NewTimer(10 * time.Millisecond)
	defer tick.Stop()
	select {
	case <-f.over:
		return 0, io.EOF
	case <-tick.C:
		return len(p), nil
	}
}

// run runs the session to its end and returns what was wrong.
func (f *flow) run(h *host) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(many(100, 1000))*time.Second)
	defer cancel()
	up, down, stderr := sha256.New(), sha256.New(), &bytes.Buffer{}
	f.sent.w = up
	got := &counter{w: down}
	numbers := noise(1 << 40)
	cmd := h.clientCmd(ctx, "exec", "--accept-new", "-v", "debug", "myhost", "--", "bash", "-c", fmt.Sprintf("cat; exit %d", f.code))
	cmd.Stdin = io.TeeReader(readers{f, numbers}, &f.sent)
	cmd.Stdout, cmd.Stderr = got, stderr
	cmd.WaitDelay = 5 * time.Second
	_ = cmd.Run()
	if code := cmd.ProcessState.ExitCode(); code != f.code {
		return fmt.Errorf("exit code %d, want %d, after %d of %d bytes: %s", code, f.code, got.n, f.sent.n, tail(stderr.String(), 2000))
	}
	if !bytes.Equal(up.Sum(nil), down.Sum(nil)) {
		return fmt.Errorf("%d bytes went up, and %d other ones came down", f.sent.n, got.n)
	}
	if f.sent.n < 1*mega {
		return fmt.Errorf("only %d bytes went up", f.sent.n)
	}
	h.t.Logf("%d bytes went up and came down", got.n)
	return nil
}

// readers reads as much as the first says of what the second has.
type readers struct{ pace, data io.Reader }

func (r readers) Read(p []byte) (int, error) {
	n, err := r.pace.Read(p)
	if err != nil {
		return 0, err
	}
	return io.ReadFull(r.data, p[:n])
}

// Ten sessions, five of them in bulk transfer both ways, while the agent's
// program is replaced ten times and its front is killed twenty times (as a soak,
// ten times as often).
func TestLosslessThroughUpgrades(t *testing.T) {
	need(t, "pgrep", "tmux")
	h := upgradable(t, nil)
	if got := h.exec(nil, "debug", "myhost", "--", "true"); got.code != 0 {
		t.Fatal(got.stderr)
	}
	pid := h.cmd.Process.Pid
	over := make(chan struct{})
	var flows sync.WaitGroup
	for i := range 5 {
		flows.Go(func() {
			if err := (&flow{code: 10 + i, over: over}).run(h); err != nil {
				t.Errorf("session %d: %v", i, err)
			}
		})
	}
	screens := make([]*screen, 5)
	for i := range screens {
		screens[i] = shellScreen(t, h)
		screens[i].remotePrompt()
	}
	h.waitFor("ten sessions", func() bool { return len(h.children()) == 10 })
	programs := h.children()

	upgrades, kills := many(10, 100), 2
	began := time.Now()
	for n := range upgrades {
		screens[0].line("clear; echo be''fore; sleep 1; echo af''ter " + strconv.Itoa(n))
		screens[0].see("before")
		h.install(nil)
		h.reload(tookOver)
		for kill := range kills {
			h.killFront()
			// What is typed twice counts twice.
			for i, s := range screens {
				s.line("clear; echo num''ber " + strconv.Itoa(i) + ".$((++lines))")
				s.see(fmt.Sprintf("number %d.%d\n", i, n*kills+kill+1))
			}
		}
		if now := h.children(); !slices.Equal(now, programs) {
			t.Fatalf("the programs were %v and are %v", programs, now)
		}
	}
	t.Logf("%d upgrades and %d kills of the front in %v", upgrades, upgrades*kills, time.Since(began).Round(time.Millisecond))
	close(over)
	flows.Wait()
	for i, s := range screens {
		s.line(fmt.Sprintf("exit %d", 20+i))
		s.see("local$")
		s.line("echo code=$?")
		s.see(fmt.Sprintf("code=%d", 20+i))
	}
	if left := h.children(); len(left) > 0 || h.cmd.Process.Pid != pid {
		t.Errorf("programs %v are left", left)
	}
	if status, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); err != nil || strings.Contains(status, "deleted") {
		t.Errorf("the agent runs %s (%v)", status, err)
	}
	if n := strings.Count(h.log.String(), tookOver); n != upgrades {
		t.Errorf("%d upgrades in the log", n)
	}
	// A session that begins after all that is like any other.
	if got := h.exec(strings.NewReader("in"), "debug", "myhost", "--", "sh", "-c", "cat; ulimit -n; exit 3"); got.code != 3 || !strings.HasPrefix(got.stdout, "in") {
		t.Errorf("%+v", got)
	}
}

// stand is a shell script that stands in for a new version of the agent.
func stand(script string) []byte {
	return []byte("#!/bin/sh\nreal=" + agentBin + "\n" + script + "\n")
}

// A program that cannot take over is found out before the switch, or at the
// switch; the sessions go on, and the next good one takes over.
func TestBrokenProgramsDoNotTakeOver(t *testing.T) {
	metrics := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	h := upgradable(t, func(_ *host, c object) { c["metrics"] = object{"address": metrics} })
	s := shellScreen(t, h)
	s.remotePrompt()
	programs := h.children()
	bad := []struct {
		name, why string
		program   []byte
	}{
		{"can be changed by others", "is writable by others", nil},
		{"not a program", "exec format error", []byte("\x7fELF but not really")},
		{"empty", "exec format error", []byte{}},
		{"refuses the configuration", "no such setting", stand(`echo "agent.json:3: no such setting" >&2; exit 1`)},
		{"crashes", "signal: segmentation fault", stand(`ulimit -c 0; kill -SEGV $$`)},
		{"knows no upgrades", "unknown command", stand(`[ "$1" = check ] && exit; echo "unknown command" >&2; exit 2`)},
		{"talks nonsense", "answers with", stand(`echo hello`)},
		{"is of the far future", "reads the state of versions", stand(`[ "$1" = check ] && exit; echo '{"version":1,"agent":"v99","reads":[98,99]}'`)},
		{"is of before the audit trail", "reads the state of versions [1 2 3] and not of this one's 5", stand(`[ "$1" = check ] && exit; echo '{"version":1,"agent":"v0.1","reads":[1,2,3]}'`)},
		{"does not understand the state", "this agent's state", stand(`case "$*" in *--state*) echo "what is this" >&2; exit 1;; esac; exec $real "$@"`)},
		{"is replaced once more", "was replaced again", stand(`case "$*" in *--state*) touch "$0";; esac; exec $real "$@"`)},
		{"cannot be executed after all", "permission denied", stand(`case "$*" in *--state*) chmod a-x "$0";; esac; exec $real "$@"`)},
	}
	for i, b := range bad {
		t.Run(b.name, func(t *testing.T) {
			h.install(b.program)
			if b.program == nil {
				if err := os.Chmod(h.program(), 0o777); err != nil {
					t.Fatal(err)
				}
			}
			h.reload(goesOn)
			lines := strings.Split(h.log.String(), "\n")
			last := slices.IndexFunc(lines, func(l string) bool { return strings.Contains(l, b.why) && strings.Contains(l, goesOn) })
			if last < 0 {
				t.Errorf("the log does not say %q:\n%s", b.why, tail(h.log.String(), 1500))
			}
			s.line(fmt.Sprintf("clear; echo al''ive %d", i))
			s.see(fmt.Sprintf("alive %d", i))
			if now := h.children(); !slices.Equal(now, programs) {
				t.Errorf("the programs were %v and are %v", programs, now)
			}
		})
	}
	if text := scrape(t, metrics); !strings.Contains(text, fmt.Sprintf("shellagent_upgrade_failures_total %d\n", len(bad))) ||
		!strings.Contains(text, "shellagent_upgrades_total 0\n") {
		t.Errorf("the metrics do not count %d failures", len(bad))
	}
	if got := h.exec(nil, "debug", "myhost", "--", "sh", "-c", "ls /proc/$$/fd | wc -l"); got.stdout != "3\n" && got.stdout != "4\n" {
		t.Errorf("a program has %s descriptors", got.stdout)
	}
	h.install(nil)
	h.reload(tookOver)
	s.line("clear; echo still al''ive")
	s.see("still alive")
	text := scrape(t, metrics)
	for _, want := range []string{
		"shellagent_upgrades_total 1\n", `shellagent_sessions_active{source="debug",subject=""} 1`,
		`shellagent_sessions_total{source="debug",subject=""} 0`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("after the upgrade the metrics lack %s", want)
		}
	}
}

// What a restart would forget, an upgrade does not: tokens that were used, who
// may come in now, and that a session without linger waits for its client.
func TestUpgradeKeepsItsWord(t *testing.T) {
	h := upgradable(t, func(h *host, c object) {
		source := h.debugSource()
		source["linger"] = "0s"
		c["sources"] = object{"debug": source}
	})
	s := shellScreen(t, h)
	s.remotePrompt()
	h.install(nil)
	h.reload(tookOver)
	s.line("clear; echo wai''ted")
	s.see("waited")

	// The configuration that is read with the new program counts.
	data, err := os.ReadFile(h.config)
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(h.dir, "bob")
	h.run0(agentBin, "keys", "generate", "--batch", "-o", other)
	changed := bytes.ReplaceAll(data, []byte(h.publicKey(h.key)), []byte(h.publicKey(other)))
	changed = bytes.Replace(changed, []byte(`"stateDir"`), []byte(`"reloadOnChange": false, "stateDir"`), 1)
	if err := os.WriteFile(h.config, changed, 0o600); err != nil {
		t.Fatal(err)
	}
	h.install(nil)
	h.reload(tookOver)
	s.see("local$")
	if text := s.text(); !strings.Contains(text, "no longer allowed") {
		t.Errorf("the screen does not say why the session ended:\n%s", text)
	}
}

func TestUpgradeIsToldToSystemd(t *testing.T) {
	h := newHost(t, nil)
	h.install(nil)
	socket := filepath.Join(h.dir, "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	cmd := exec.Command(h.program(), "listen", "-c", h.config)
	cmd.Env = h.env("NOTIFY_SOCKET=" + socket)
	h.startWith(cmd)
	h.install(nil)
	h.reload(tookOver)
	conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	buf := make([]byte, 4096)
	for _, want := range []string{"READY=1", "RELOADING=1", "READY=1"} {
		n, err := conn.Read(buf)
		if err != nil || !strings.Contains(string(buf[:n]), want) {
			t.Errorf("notified %q (%v), want %s", buf[:n], err, want)
		}
	}
}

// kill -9 of the broker: the front goes with it, clients are told, and the next
// start leaves nothing behind of what sessions had started.
func TestKilledBrokerLeavesNothingBehind(t *testing.T) {
	need(t, "pgrep", "setsid")
	h := startHost(t, nil)
	s := shellScreen(t, h)
	s.remotePrompt()
	mark := strconv.Itoa(1_000_000_000 + os.Getpid())
	s.line("setsid sleep " + mark + " </dev/null >/dev/null 2>&1 & clear; echo star''ted")
	s.see("started")
	piped := make(chan result, 1)
	go func() {
		piped <- h.exec(nil, "-n", "debug", "myhost", "--command", "trap '' HUP; setsid sleep "+mark+" & sleep "+mark)
	}()
	left := func() int {
		out, _ := exec.Command("pgrep", "-c", "-f", "sleep "+mark).Output()
		n, _ := strconv.Atoi(strings.TrimSpace(string(out)))
		return n
	}
	h.waitFor("three sleepers", func() bool { return left() >= 3 })
	front := h.frontPID()
	cmd := h.cmd
	h.cmd = nil // its end is no accident
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-h.done
	h.waitFor("the front to end", func() bool { return syscall.Kill(front, 0) == syscall.ESRCH })

	h.start()
	h.waitFor("the rest to be ended", func() bool { return left() == 0 })
	if !strings.Contains(h.log.String(), "ended what an earlier agent left behind") {
		t.Error("the log does not say that something was left")
	}
	if notes, err := os.ReadDir(filepath.Join(h.dir, "state", "processes")); err != nil || len(notes) > 0 {
		t.Errorf("%d notes are left (%v)", len(notes), err)
	}
	if got := <-piped; got.code != 255 || got.stderr == "" {
		t.Errorf("the client ended with %d, %q; want 255 and a reason", got.code, got.stderr)
	}
	s.see("local$")
	if got := h.exec(nil, "debug", "myhost", "--", "echo", "anew"); got.stdout != "anew\n" {
		t.Errorf("after the restart: %+v", got)
	}
}
