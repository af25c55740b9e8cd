//go:build linux

package cli

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// run runs "agent exec … -- ARGV" against a fake agent.
func run(t *testing.T, a *fakeAgent, stdin io.Reader, argv ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := exec.Command("agent", append(append([]string{"exec", "-q"}, client(t, a.addr)...), append([]string{"--"}, argv...)...)...)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "SSH_AUTH_SOCK=")
	var out, err bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &out, &err
	_ = cmd.Run()
	return out.String(), err.String(), cmd.ProcessState.ExitCode()
}

func TestBulkIsExact(t *testing.T) {
	a := fake(t)
	data := make([]byte, 20<<20)
	_, _ = rand.Read(data)
	sum := fmt.Sprintf("%d %x\n", len(data), sha256.Sum256(data))
	if out, stderr, code := run(t, a, bytes.NewReader(data), "sum"); out != sum || code != 0 {
		t.Errorf("up: %q, want %q; %s (code %d)", out, sum, stderr, code)
	}
	out, stderr, code := run(t, a, bytes.NewReader(data), "cat")
	if out != string(data) || code != 0 {
		t.Errorf("through: %d bytes of %d; %s (code %d)", len(out), len(data), stderr, code)
	}
}

func TestSignalsHangUp(t *testing.T) {
	for signal, code := range map[syscall.Signal]int{unix.SIGINT: 130, unix.SIGTERM: 143, unix.SIGHUP: 129} {
		t.Run(signal.String(), func(t *testing.T) {
			a := fake(t)
			cmd := exec.Command("agent", append(append([]string{"exec"}, client(t, a.addr)...), "--", "hang")...)
			cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "SSH_AUTH_SOCK=")
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			ready := make([]byte, len("ready\n"))
			if _, err := io.ReadFull(stdout, ready); err != nil {
				t.Error(err)
			}
			_ = cmd.Process.Signal(signal)
			_ = cmd.Wait()
			if got := cmd.ProcessState.ExitCode(); got != code {
				t.Errorf("exit code %d, want %d", got, code)
			}
			a.await(t, "hung up")
		})
	}
}

// TestStandardErrorThatNobodyReads ends no program, as under ssh.
func TestStandardErrorThatNobodyReads(t *testing.T) {
	a := fake(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	defer w.Close()
	cmd := exec.Command("agent", append(append([]string{"exec"}, client(t, a.addr)...), "--", "both")...)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "SSH_AUTH_SOCK=")
	cmd.Stderr = w
	out, err := cmd.Output()
	if string(out) != "out\n" || err != nil {
		t.Errorf("%q, %v", out, err)
	}
}

// TestInputThatCannotBeRead is not passed off as input that ended.
func TestInputThatCannotBeRead(t *testing.T) {
	a := fake(t)
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	out, stderr, code := run(t, a, dir, "sum")
	if code != 255 || out != "" || !strings.Contains(stderr, "cannot read the input") {
		t.Errorf("%q %q %d", out, stderr, code)
	}
}

// TestInputMayStayOpen: a program's end is this one's, whatever input does.
func TestInputMayStayOpen(t *testing.T) {
	a := fake(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if _, stderr, code := run(t, a, r, "exit", "3"); code != 3 {
		t.Errorf("code %d: %s", code, stderr)
	}
}

func TestKeysOfSSHAgentAreTried(t *testing.T) {
	for _, program := range []string{"ssh-agent", "ssh-add"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%s is missing: install openssh-client", program)
		}
	}
	dir := t.TempDir()
	socket := filepath.Join(dir, "s")
	agent := exec.Command("ssh-agent", "-D", "-a", socket)
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = agent.Process.Kill(); _ = agent.Wait() })
	until(t, "ssh-agent", agent.String, func() bool { _, err := os.Stat(socket); return err == nil })
	a := fake(t)
	env := append(os.Environ(), "HOME="+dir, "SSH_AUTH_SOCK="+socket)
	var second string
	for _, name := range []string{"first", "second"} {
		key, err := newKeyFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		add := exec.Command("ssh-add", "-q", filepath.Join(dir, name))
		add.Env = env
		if out, err := add.CombinedOutput(); err != nil {
			t.Fatalf("ssh-add: %v: %s", err, out)
		}
		second = key.PublicKey().Thumbprint()
	}
	a.mu.Lock()
	a.takes = map[string]bool{second: true}
	a.mu.Unlock()
	try := func(args ...string) (string, int) {
		cmd := exec.Command("agent", append(append([]string{"exec", "--accept-new", "-q"}, args...), "debug", a.addr, "--", "echo", "hello")...)
		cmd.Env = env
		out, _ := cmd.CombinedOutput()
		return string(out), cmd.ProcessState.ExitCode()
	}
	if out, code := try(); out != "hello\n" || code != 0 || !a.log.has("refused a key") {
		t.Errorf("both keys: %q, code %d", out, code)
	}
	if out, code := try("-i", filepath.Join(dir, "second.pub")); out != "hello\n" || code != 0 {
		t.Errorf("the second by its public half: %q, code %d", out, code)
	}
	if out, code := try("-i", filepath.Join(dir, "first.pub")); code != 255 || !strings.Contains(out, "unauthorized") {
		t.Errorf("the first alone: %q, code %d", out, code)
	}
	// A locked file that ssh-agent has unlocked is not asked for.
	lock := exec.Command("ssh-keygen", "-q", "-p", "-N", "secret", "-f", filepath.Join(dir, "second"))
	if out, err := lock.CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v: %s", err, out)
	}
	if out, code := try("-i", filepath.Join(dir, "second")); out != "hello\n" || code != 0 {
		t.Errorf("a locked file: %q, code %d", out, code)
	}
}

func TestConnectTimeout(t *testing.T) {
	a := fake(t)
	p := startProxy(t, a.addr)
	p.freeze()
	began := time.Now()
	cmd := exec.Command("agent", append(append([]string{"exec", "--connect-timeout", "300ms"}, client(t, p.addr)...), "--", "echo")...)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "SSH_AUTH_SOCK=")
	out, _ := cmd.CombinedOutput()
	if code := cmd.ProcessState.ExitCode(); code != 255 || !strings.Contains(string(out), "--connect-timeout") {
		t.Errorf("code %d: %s", code, out)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}
