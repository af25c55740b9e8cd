package jwtauth_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"shellagent/jwtauth"
)

// startSSHAgent runs a real ssh-agent for the test and returns its socket.
func startSSHAgent(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "agent") // short, since a socket's path is
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	cmd := exec.Command("ssh-agent", "-D", "-a", socket)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	// It prints its variables when it listens.
	if _, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		t.Fatalf("ssh-agent did not start: %v", err)
	}
	return socket
}

func sshAdd(t *testing.T, socket, file string) {
	t.Helper()
	cmd := exec.Command("ssh-add", "-q", file)
	cmd.Env = append(os.Environ(), "SSH_AUTH_SOCK="+socket)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("ssh-add: %v\n%s", err, out)
	}
}

func TestSSHAgent(t *testing.T) {
	socket := startSSHAgent(t)
	ctx := context.Background()
	if signers, labels, err := jwtauth.AgentSigners(ctx, socket); err != nil || len(signers)+len(labels) != 0 {
		t.Fatalf("an empty agent gives %v, %v, %v", signers, labels, err)
	}
	kinds := []struct {
		label string
		args  []string
	}{
		{"ed", []string{"-t", "ed25519"}}, {"ec", []string{"-t", "ecdsa", "-b", "256"}}, {"rs", []string{"-t", "rsa", "-b", "3072"}},
	}
	dir := t.TempDir()
	for _, k := range kinds {
		file := filepath.Join(dir, k.label)
		run(t, "ssh-keygen", append(k.args, "-q", "-N", "", "-C", k.label+"\x1b[31m", "-f", file)...)
		sshAdd(t, socket, file)
	}
	signers, labels, err := jwtauth.AgentSigners(ctx, socket)
	if err != nil || len(signers) != 3 || len(labels) != 3 {
		t.Fatalf("got %d signers, labels %q, %v", len(signers), labels, err)
	}
	for i, signer := range signers {
		if labels[i] != kinds[i].label+"[31m" {
			t.Errorf("label %d is %q", i, labels[i])
		}
		// Often enough to meet an r or s with leading zeros.
		for range 20 {
			token := mustSign(t, signer, jwtauth.TypeIdentity, identityClaims(t, time.Now()))
			mustVerify(t, signer.PublicKey(), token)
		}
	}
}

func TestSSHAgentLeavesOutWhatCannotSign(t *testing.T) {
	socket := startSSHAgent(t)
	file := filepath.Join(t.TempDir(), "weak")
	run(t, "ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-C", "weak", "-f", file)
	sshAdd(t, socket, file)
	keys, err := jwtauth.AgentKeys(context.Background(), socket)
	if err != nil || len(keys) != 1 || keys[0].Signer != nil || !strings.Contains(keys[0].Reason, "2048 bits") {
		t.Fatalf("got %+v, %v", keys, err)
	}
	_, _, err = jwtauth.AgentSigners(context.Background(), socket)
	if err == nil || !strings.Contains(err.Error(), "2048 bits") {
		t.Errorf("the error does not say why: %v", err)
	}
}

func TestSSHAgentRemovedKey(t *testing.T) {
	socket := startSSHAgent(t)
	file := filepath.Join(t.TempDir(), "key")
	run(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file)
	sshAdd(t, socket, file)
	signers, _, err := jwtauth.AgentSigners(context.Background(), socket)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("ssh-add", "-q", "-D")
	cmd.Env = append(os.Environ(), "SSH_AUTH_SOCK="+socket)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if _, err := signers[0].Sign(context.Background(), []byte("x")); err == nil {
		t.Error("a removed key signs")
	}
}

func TestSSHAgentThatDoesNotAnswer(t *testing.T) {
	if _, err := jwtauth.AgentKeys(context.Background(), ""); err == nil || !strings.Contains(err.Error(), "SSH_AUTH_SOCK") {
		t.Errorf("no socket gives %v", err)
	}
	if _, err := jwtauth.AgentKeys(context.Background(), filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing socket gives %v", err)
	}
	socket := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.ReadFull(conn, make([]byte, 5))
		close(asked)
		_, _ = io.Copy(io.Discard, conn)
	}()
	ctx, cancel := context.WithCancel(context.Background())
	go func() { <-asked; cancel() }()
	if _, err := jwtauth.AgentKeys(ctx, socket); !errors.Is(err, context.Canceled) {
		t.Errorf("a silent agent gives %v", err)
	}
	listener.Close()
	<-done
}

// A wrong signature is found here, not by the agent at the far end.
func TestSSHAgentThatSignsWrongly(t *testing.T) {
	key := newKey(t)
	socket := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	blob := sshBlob(t, key.PublicKey())
	replies := [][]byte{
		sshMessage(12, []byte{0, 0, 0, 1}, sshString(blob), sshString([]byte("liar"))),
		sshMessage(14, sshString(append(sshString([]byte("ssh-ed25519")), sshString(make([]byte, 64))...))),
		sshMessage(14, sshString(append(sshString([]byte("ssh-rsa")), sshString(make([]byte, 64))...))),
		sshMessage(5),
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, reply := range replies {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 1024))
			_, _ = conn.Write(reply)
			conn.Close()
		}
	}()
	signers, _, err := jwtauth.AgentSigners(context.Background(), socket)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"not usable", "unexpected format", "failed to sign"} {
		if _, err := signers[0].Sign(context.Background(), []byte("x")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	<-done
}

func sshString(b []byte) []byte {
	n := len(b)
	return append([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, b...)
}

func sshMessage(kind byte, parts ...[]byte) []byte {
	return sshString(append([]byte{kind}, bytes.Join(parts, nil)...))
}

func sshBlob(t *testing.T, k jwtauth.PublicKey) []byte {
	t.Helper()
	public := mustDecode(t, jsonObject(t, k.JWK())["x"].(string))
	return append(sshString([]byte("ssh-ed25519")), sshString(public)...)
}
