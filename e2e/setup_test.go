package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// blank is a host on which nothing is set up yet, and a client's key.
func blank(t *testing.T) *host {
	h := newHost(t, nil)
	if err := errors.Join(os.Remove(h.config), os.RemoveAll(filepath.Join(h.dir, "state"))); err != nil {
		t.Fatal(err)
	}
	return h
}

// setup runs the command with the client's public key as its input.
func (h *host) setup(args ...string) result {
	h.t.Helper()
	key, err := os.Open(h.key + ".pub")
	if err != nil {
		h.t.Fatal(err)
	}
	defer key.Close()
	cmd := exec.Command(agentBin, append([]string{"setup", "-c", h.config}, args...)...)
	cmd.Env = h.env()
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = key, &stdout, &stderr
	return h.finish(cmd.Run(), cmd, &stdout, &stderr)
}

// asUser is the flag that names the sessions' user, where it takes one.
func asUser() []string {
	if os.Geteuid() == 0 {
		return []string{"--user", "operator"}
	}
	return nil
}

// follow types what setup said to type, the one here and the other on the client.
func (h *host) follow(said, input string) result {
	h.t.Helper()
	for line := range strings.Lines(said) {
		command, found := strings.CutPrefix(strings.TrimSpace(line), "client    agent ")
		if !found {
			continue
		}
		cmd := exec.Command("sh", "-c", agentBin+" "+command+" -i "+h.key)
		cmd.Env = h.env()
		var stdout, stderr bytes.Buffer
		cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &stdout, &stderr
		return h.finish(cmd.Run(), cmd, &stdout, &stderr)
	}
	h.t.Fatalf("nothing for the client in\n%s", said)
	return result{}
}

// From nothing to a shell by what setup says.
func TestSetupFirstHost(t *testing.T) {
	h := blank(t)
	address := fmt.Sprintf("127.0.0.1:%d", h.port)
	got := h.setup(append(asUser(), "--listen", address, "--shell", "/bin/sh")...)
	if got.code != 0 || !strings.Contains(got.stdout, "here      agent listen -c "+h.config) {
		t.Fatalf("%+v", got)
	}
	h.start()
	if in := h.follow(got.stdout, "echo in as $(id -un)\n"); in.code != 0 || !strings.HasPrefix(in.stdout, "in as ") {
		t.Errorf("%+v", in)
	}
	// The agent that runs has the next source at once.
	more := h.setup(append(asUser(), "--source", "more")...)
	if more.code != 0 || strings.Contains(more.stdout, "here ") {
		t.Fatalf("%+v", more)
	}
	if in := h.follow(more.stdout, "echo more\n"); in.code != 0 || in.stdout != "more\n" {
		t.Errorf("%+v", in)
	}
	if again := h.setup(append(asUser(), "--source", "more")...); again.code != 0 || again.stdout != more.stdout || !strings.Contains(again.stderr, "nothing to do") {
		t.Errorf("again: %+v", again)
	}
}

// An agent of one's own needs no root and no flags.
func TestSetupPrivateAgent(t *testing.T) {
	needRoot(t)
	operator, err := user.Lookup("operator")
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(operator.Uid)
	gid, _ := strconv.Atoi(operator.Gid)
	h := blank(t)
	home := filepath.Join(h.dir, "home")
	if err := errors.Join(os.Mkdir(home, 0o700), os.Chown(home, uid, gid), os.Chmod(h.dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	as := func(args ...string) *exec.Cmd {
		cmd := exec.Command(agentBin, args...)
		cmd.Env = []string{"HOME=" + home, "PATH=" + os.Getenv("PATH")}
		cmd.Dir = home
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
		return cmd
	}
	cmd := as("setup", "--key", h.publicKey(h.key), "--listen", fmt.Sprintf("127.0.0.1:%d", h.port))
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	h.config = filepath.Join(home, ".config", "shellagent", "agent.json")
	if !strings.Contains(stdout.String(), "here      agent listen -c "+h.config) {
		t.Fatal(stdout.String())
	}
	h.startWith(as("listen", "-c", h.config))
	if in := h.follow(stdout.String(), "id -un\n"); in.code != 0 || in.stdout != "operator\n" {
		t.Errorf("%+v", in)
	}
	// Its owner is its operator.
	out, err := as("status", "-c", h.config).CombinedOutput()
	if err != nil || !strings.Contains(string(out), home+"/.local/state") && !strings.Contains(string(out), h.config) {
		t.Errorf("%v: %s", err, out)
	}
}

// Somebody at a terminal is asked whose key it is to be.
func TestSetupAsks(t *testing.T) {
	h := blank(t)
	ssh := filepath.Join(h.dir, ".ssh")
	lines := "# comment\nfrom=\"10.0.0.1\" " + h.publicKey(h.key) + "x\nnonsense\n" + h.publicKey(h.key) + "\n"
	if err := errors.Join(os.Mkdir(ssh, 0o700), os.WriteFile(filepath.Join(ssh, "authorized_keys"), []byte(lines), 0o600)); err != nil {
		t.Fatal(err)
	}
	s := newScreen(t, h, "env", "PS1=local$ ", "sh")
	s.see("local$")
	s.line("unset SUDO_USER; " + agentBin + " setup -c " + h.config + " " + strings.Join(asUser(), " ") + "; echo code=$?")
	s.see("Which keys may open it?")
	s.see("1  SHA256:")
	s.line("7")
	s.see("there is no number 7")
	s.line("1")
	s.see("code=0")
	if text, err := os.ReadFile(h.config); err != nil || !strings.Contains(string(text), h.publicKey(h.key)) {
		t.Errorf("%v: %s", err, text)
	}
}
