package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestCurlAndOpenSSLAreEnough(t *testing.T) {
	need(t, "curl", "openssl")
	var key string
	h := startHost(t, func(h *host, c object) {
		key = filepath.Join(h.dir, "alice.pem")
		h.run0("openssl", "genpkey", "-algorithm", "ed25519", "-out", key)
		c["verifyKeys"] = []string{strings.TrimSpace(h.run0(agentBin, "keys", "public", key))}
	})
	thumb := strings.TrimSpace(h.run0(agentBin, "keys", "fingerprint", filepath.Join(h.dir, "state", "host_key.pub")))
	path := os.Getenv("PATH")
	run := func(stdin, source, thumb string) result {
		cmd := exec.Command("timeout", "60", "../examples/curl/shell.sh", fmt.Sprintf("127.0.0.1:%d", h.port), source, key, thumb)
		cmd.Env = append(h.env(), "PATH="+path)
		var stdout, stderr bytes.Buffer
		cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
		return h.finish(cmd.Run(), cmd, &stdout, &stderr)
	}
	got := run("stty size; echo typed by cu''rl\nexit 7\n", "debug", thumb)
	if got.code != 7 || !strings.Contains(got.stdout, "typed by curl") || !strings.Contains(got.stdout, "24 80") {
		t.Errorf("code %d\n%s\n%s", got.code, got.stdout, got.stderr)
	}

	// An hour behind: the agent's nonce opens, its clock serves from then on.
	slow := filepath.Join(h.dir, "date")
	script := "#!/bin/sh\nexec /bin/date -d '1 hour ago' \"$@\"\n"
	syscall.ForkLock.RLock() // else a child of another test may have it open for writing, and it cannot be run
	err := os.WriteFile(slow, []byte(script), 0o700)
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatal(err)
	}
	path = h.dir + ":" + path
	if got := run("exit 8\n", "debug", thumb); got.code != 8 {
		t.Errorf("with a slow clock: code %d\n%s\n%s", got.code, got.stdout, got.stderr)
	}
	path = os.Getenv("PATH")

	if got := run("", "nothere", thumb); got.code != 255 || !strings.Contains(got.stderr, "refused") {
		t.Errorf("an unknown source: code %d, %q", got.code, got.stderr)
	}
	if got := run("", "debug", strings.Repeat("A", 43)); got.code != 255 || !strings.Contains(got.stderr, "not connecting") {
		t.Errorf("a wrong thumbprint: code %d, %q", got.code, got.stderr)
	}
}

func TestKeysThatLiveElsewhere(t *testing.T) {
	need(t, "ssh-agent", "ssh-add", "ssh-keygen", "openssl")
	var pem string
	h := startHost(t, func(h *host, c object) {
		pem = filepath.Join(h.dir, "hsm.pem")
		h.run0("openssl", "genpkey", "-algorithm", "ed25519", "-out", pem)
		keys := []string{h.publicKey(h.key), strings.TrimSpace(h.run0(agentBin, "keys", "public", pem))}
		for _, kind := range []string{"ed25519", "ecdsa", "rsa"} {
			file := filepath.Join(h.dir, "id_"+kind)
			bits := map[string]string{"ed25519": "256", "ecdsa": "256", "rsa": "3072"}[kind]
			h.run0("ssh-keygen", "-q", "-t", kind, "-b", bits, "-N", "", "-f", file)
			keys = append(keys, h.publicKey(file))
		}
		c["verifyKeys"] = keys
	})
	noKey := func() {
		h.writeJSON(h.client, object{"targets": object{"myhost": object{"hostname": "127.0.0.1", "port": h.port}}})
	}
	for _, kind := range []string{"ed25519", "ecdsa", "rsa"} {
		t.Run("file "+kind, func(t *testing.T) {
			if got := h.exec(nil, "-i", filepath.Join(h.dir, "id_"+kind), "debug", "myhost", "--", "echo", kind); got.stdout != kind+"\n" {
				t.Errorf("%q, %q, code %d", got.stdout, got.stderr, got.code)
			}
		})
		t.Run("ssh-agent "+kind, func(t *testing.T) {
			noKey()
			socket := startSSHAgent(t, h, filepath.Join(h.dir, "id_"+kind))
			cmd := exec.Command(agentBin, "exec", "-c", h.client, "--accept-new", "debug", "myhost", "--", "echo", kind)
			cmd.Env = h.env("SSH_AUTH_SOCK=" + socket)
			if out, err := cmd.CombinedOutput(); err != nil || string(out) != kind+"\n" {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	t.Run("signingCommands with openssl", func(t *testing.T) {
		sign := filepath.Join(h.dir, "sign.sh")
		script := "#!/bin/sh\nset -e\nf=$(mktemp)\ntrap 'rm -f $f' EXIT\ncat >$f\nopenssl pkeyutl -sign -inkey " + pem + " -rawin -in $f\n"
		syscall.ForkLock.RLock() // else a child of another test may have it open for writing, and it cannot be run
		err := os.WriteFile(sign, []byte(script), 0o700)
		syscall.ForkLock.RUnlock()
		if err != nil {
			t.Fatal(err)
		}
		h.writeJSON(h.client, object{
			"signingCommands": []any{object{"command": []string{sign}, "key": strings.TrimSpace(h.run0(agentBin, "keys", "public", pem))}},
			"targets":         object{"myhost": object{"hostname": "127.0.0.1", "port": h.port}},
		})
		if got := h.exec(nil, "debug", "myhost", "--", "echo", "signed"); got.stdout != "signed\n" {
			t.Errorf("%q, %q, code %d", got.stdout, got.stderr, got.code)
		}
	})
	t.Run("no key at all", func(t *testing.T) {
		noKey()
		if got := h.exec(nil, "debug", "myhost", "--", "true"); got.code != 2 || !strings.Contains(got.stderr, "keys generate") {
			t.Errorf("code %d, %q; want 2 and the remedy", got.code, got.stderr)
		}
	})
}

// startSSHAgent runs a real ssh-agent that holds one key.
func startSSHAgent(t *testing.T, h *host, key string) (socket string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "ssh-agent-")
	if err != nil {
		t.Fatal(err)
	}
	socket = filepath.Join(dir, "s")
	cmd := exec.Command("ssh-agent", "-D", "-a", socket)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait(); os.RemoveAll(dir) })
	if !eventually(10*time.Second, func() bool { _, err := os.Stat(socket); return err == nil }) {
		t.Fatal("ssh-agent made no socket")
	}
	add := exec.Command("ssh-add", "-q", key)
	add.Env = append(h.env(), "SSH_AUTH_SOCK="+socket)
	if out, err := add.CombinedOutput(); err != nil {
		t.Fatalf("ssh-add: %v: %s", err, out)
	}
	return socket
}

func TestHostKeys(t *testing.T) {
	h := startHost(t, nil)
	got := h.runClient(nil, "exec", "debug", "myhost", "--", "true")
	if got.code != 255 || !strings.Contains(got.stderr, "--accept-new") || !strings.Contains(got.stderr, "--fingerprint") {
		t.Errorf("first contact without a terminal: code %d, %q", got.code, got.stderr)
	}
	thumb := strings.TrimSpace(h.run0(agentBin, "keys", "fingerprint", filepath.Join(h.dir, "state", "host_key.pub")))
	if !strings.Contains(got.stderr, thumb) {
		t.Errorf("first contact does not show %s: %q", thumb, got.stderr)
	}
	if got := h.runClient(nil, "exec", "--fingerprint", strings.Repeat("A", 43), "debug", "myhost", "--", "true"); got.code != 255 {
		t.Errorf("a wrong fingerprint: code %d, %q", got.code, got.stderr)
	}
	if got := h.runClient(nil, "exec", "--fingerprint", thumb, "debug", "myhost", "--", "true"); got.code != 0 {
		t.Errorf("the right fingerprint: code %d, %q", got.code, got.stderr)
	}
	if got := h.exec(nil, "debug", "myhost", "--", "true"); got.code != 0 {
		t.Errorf("--accept-new: code %d, %q", got.code, got.stderr)
	}
	if got := h.runClient(nil, "exec", "debug", "myhost", "--", "true"); got.code != 0 {
		t.Errorf("a known host: code %d, %q", got.code, got.stderr)
	}

	h.stop()
	if err := os.Remove(filepath.Join(h.dir, "state", "host_key")); err != nil {
		t.Fatal(err)
	}
	h.start()
	got = h.exec(nil, "debug", "myhost", "--", "true")
	if got.code != 255 || !strings.Contains(got.stderr, "known_hosts") || !strings.Contains(got.stderr, thumb) {
		t.Errorf("a changed key: code %d, %q", got.code, got.stderr)
	}

	t.Run("asked on a terminal", func(t *testing.T) {
		h.targetPort(h.port)
		if err := os.RemoveAll(filepath.Join(h.dir, "xdg-state")); err != nil {
			t.Fatal(err)
		}
		s := newScreen(t, h, "env", "PS1=local$ ", "sh")
		s.see("local$")
		s.line(agentBin + " shell -c " + h.client + " debug myhost")
		s.see("yes")
		s.line("yes")
		s.remotePrompt()
	})
}
