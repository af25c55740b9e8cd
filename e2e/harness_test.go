package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Binaries under test, built once by TestMain.
var agentBin, clientBin string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "shellagent-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	// Sessions of other users execute nothing from here, but the front's user
	// must be able to execute the agent itself.
	if err := os.Chmod(dir, 0o755); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	agentBin, clientBin = filepath.Join(dir, "agent"), filepath.Join(dir, "agent-cli")
	for bin, pkg := range map[string]string{agentBin: "shellagent/cmd/agent", clientBin: "shellagent/cmd/cli"} {
		build := exec.Command("go", "build", "-o", bin, pkg)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build %s: %v\n%s", pkg, err, out)
			return 1
		}
	}
	if err := makeOperator(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer removeOperator()
	return m.Run()
}

var madeOperator bool

// makeOperator gives the host the user of the seed's example.
func makeOperator() error {
	if os.Geteuid() != 0 || exec.Command("getent", "passwd", "operator").Run() == nil {
		return nil
	}
	args := []string{"-m", "-s", "/bin/bash", "-G", "games", "operator"}
	if exec.Command("getent", "group", "operator").Run() == nil {
		args = append([]string{"-g", "operator"}, args...)
	} else {
		args = append([]string{"-U"}, args...)
	}
	if out, err := exec.Command("useradd", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("useradd operator: %w: %s", err, out)
	}
	madeOperator = true
	return nil
}

func removeOperator() {
	if madeOperator {
		_ = exec.Command("userdel", "-r", "operator").Run()
	}
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: it runs sessions as another user")
	}
}

// need fails the test by name when a program it runs is missing.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Fatalf("%s is missing: make test installs it when run as root", p)
		}
	}
}

// host is a running agent and the files of a user who may use it.
type host struct {
	t      *testing.T
	dir    string
	port   int
	config string
	client string // client configuration
	key    string
	cmd    *exec.Cmd
	log    *syncBuffer
	done   chan struct{}
	state  *os.ProcessState
	// pathPrefix is the agent's own, if its configuration gives it one.
	pathPrefix string
	// through, if set, is the command line behind which clients run.
	through []string
}

type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// object is JSON in the making.
type object = map[string]any

// newHost prepares an agent without starting it: directories, keys, and a
// configuration to which edit may add.
func newHost(t *testing.T, edit func(h *host, config object)) *host {
	t.Helper()
	dir, err := os.MkdirTemp("", "shellagent-host-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	h := &host{t: t, dir: dir, port: freePort(t), log: &syncBuffer{}}
	h.key = filepath.Join(dir, "alice")
	h.run0(agentBin, "keys", "generate", "--batch", "-o", h.key)
	h.config = filepath.Join(dir, "agent.json")
	h.client = filepath.Join(dir, "client.json")
	config := object{
		"listen":     object{"address": fmt.Sprintf("127.0.0.1:%d", h.port)},
		"stateDir":   filepath.Join(dir, "state"),
		"verifyKeys": []string{h.publicKey(h.key)},
		"sources":    object{"debug": h.debugSource()},
	}
	if edit != nil {
		edit(h, config)
	}
	h.writeJSON(h.config, config)
	h.writeJSON(h.client, object{
		"signingKeyPath": h.key,
		"targets": object{"myhost": object{
			"hostname": "127.0.0.1", "port": h.port, "source": "debug",
		}},
	})
	return h
}

// startHost prepares and starts an agent, and stops it when the test ends.
func startHost(t *testing.T, edit func(h *host, config object)) *host {
	t.Helper()
	h := newHost(t, edit)
	h.start()
	return h
}

// debugSource is the source that the tests open: as another user where possible.
func (h *host) debugSource() object {
	if os.Geteuid() == 0 {
		return object{"shell": "/bin/bash", "exec": object{"user": "operator", "group": "operator"}}
	}
	return object{"shell": "/bin/bash"}
}

func (h *host) publicKey(key string) string {
	data, err := os.ReadFile(key + ".pub")
	if err != nil {
		h.t.Fatal(err)
	}
	return strings.TrimSpace(string(data))
}

func (h *host) writeJSON(path string, v any) {
	h.t.Helper()
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) start() {
	h.t.Helper()
	h.startWith(exec.Command(agentBin, "listen", "-c", h.config))
}

func (h *host) startWith(cmd *exec.Cmd) {
	h.t.Helper()
	cmd.Stdout, cmd.Stderr = h.log, h.log
	if cmd.Env == nil {
		cmd.Env = h.env()
	}
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.cmd, h.done = cmd, make(chan struct{})
	done := h.done
	go func() { _ = cmd.Wait(); h.state = cmd.ProcessState; close(done) }()
	h.t.Cleanup(h.stop)
	h.waitFor("the agent to answer on its port", func() bool {
		select {
		case <-done:
			h.t.Fatalf("the agent ended at its start:\n%s", h.log)
		default:
		}
		return h.healthy()
	})
}

func (h *host) healthy() bool {
	out, err := exec.Command("curl", "-sk", "-m", "2", fmt.Sprintf("https://127.0.0.1:%d%s/healthz", h.port, h.pathPrefix)).Output()
	return err == nil && strings.HasPrefix(string(out), "ok")
}

// stop ends the agent in the ordinary way and fails the test when it hangs.
func (h *host) stop() {
	if h.cmd == nil {
		return
	}
	cmd := h.cmd
	h.cmd = nil
	_ = cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-h.done:
	case <-time.After(20 * time.Second):
		_ = cmd.Process.Kill()
		h.t.Errorf("the agent did not stop within 20 s of SIGTERM:\n%s", h.log)
	}
	if h.t.Failed() {
		h.t.Logf("agent's log:\n%s", tail(h.log.String(), 8000))
	}
}

func tail(s string, n int) string {
	if len(s) > n {
		return "…" + s[len(s)-n:]
	}
	return s
}

// env is the environment of a user whose files are in the host's directory.
func (h *host) env(more ...string) []string {
	env := []string{
		"HOME=" + h.dir, "XDG_CONFIG_HOME=" + filepath.Join(h.dir, "config"),
		"XDG_STATE_HOME=" + filepath.Join(h.dir, "xdg-state"),
		"PATH=" + os.Getenv("PATH"), "TERM=xterm-256color", "LANG=C.UTF-8",
	}
	return append(env, more...)
}

// clientCmd is the client's command line, first contact already allowed.
func (h *host) clientCmd(ctx context.Context, command string, args ...string) *exec.Cmd {
	line := append(slices.Clone(h.through), agentBin, command, "-c", h.client)
	line = append(line, args...)
	cmd := exec.CommandContext(ctx, line[0], line[1:]...)
	cmd.Env = h.env()
	return cmd
}

// result is what a command left behind.
type result struct {
	stdout, stderr string
	code           int
}

// exec runs `agent exec` with the given input and bounded time.
func (h *host) exec(stdin io.Reader, args ...string) result {
	h.t.Helper()
	return h.runClient(stdin, "exec", append([]string{"--accept-new"}, args...)...)
}

func (h *host) runClient(stdin io.Reader, command string, args ...string) result {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := h.clientCmd(ctx, command, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &stdout, &stderr
	return h.finish(cmd.Run(), cmd, &stdout, &stderr)
}

func (h *host) finish(err error, cmd *exec.Cmd, stdout, stderr *bytes.Buffer) result {
	h.t.Helper()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		h.t.Fatalf("%v: %v", cmd.Args, err)
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

func (h *host) run0(name string, args ...string) string {
	h.t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = h.env()
	out, err := cmd.CombinedOutput()
	if err != nil {
		h.t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// waitFor polls for a condition with a deadline.
func (h *host) waitFor(what string, ok func() bool) {
	h.t.Helper()
	if !eventually(20*time.Second, ok) {
		h.t.Fatalf("waited 20 s for %s; agent's log:\n%s", what, tail(h.log.String(), 8000))
	}
}

func eventually(limit time.Duration, ok func() bool) bool {
	deadline := time.Now().Add(limit)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			return false
		}
		<-tick.C
	}
	return true
}

// freePort is a port that is given out once. It is below those that the kernel
// picks from, so that no connection takes it before the server does for which it
// is meant.
func freePort(t *testing.T) int {
	t.Helper()
	for range 1000 {
		port := 10000 + rand.IntN(20000)
		if _, given := givenPorts.LoadOrStore(port, true); given {
			continue
		}
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}

var givenPorts sync.Map
