//go:build linux

package tunnel

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"net"
	"path/filepath"
	"testing"

	"golang.org/x/crypto/ssh/agent"

	"shellagent/internal/sshargs"
)

// keeper is an ssh-agent with one key.
func keeper(t *testing.T) (socket string) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys := agent.NewKeyring()
	if err := keys.Add(agent.AddedKey{PrivateKey: key}); err != nil {
		t.Fatal(err)
	}
	socket = filepath.Join(t.TempDir(), "agent")
	answering(t, "unix", socket, func(conn net.Conn) { _ = agent.ServeAgent(keys, conn) })
	return socket
}

func TestAgent(t *testing.T) {
	socket := keeper(t)
	s, _ := newSet(t, Config{})
	refused := make(chan string, 10)
	path, err := s.Agent(t.Context(), func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}, func(what string) { refused <- what })
	if err != nil {
		t.Fatal(err)
	}
	conn := dial(t, sshargs.Endpoint{Path: path})
	client := agent.NewClient(conn)
	keys, err := client.List()
	if err != nil || len(keys) != 1 {
		t.Fatalf("it has %d keys, %v", len(keys), err)
	}
	if _, err := client.Sign(keys[0], []byte("anything")); err == nil {
		t.Error("it signs anything")
	}
	if what := <-refused; what == "" {
		t.Error("nobody is told what")
	}
	if err := client.RemoveAll(); err == nil {
		t.Error("it removes keys")
	}
	conn.Close()
	if err := s.Wait(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAgentThatIsGone(t *testing.T) {
	s, told := newSet(t, Config{})
	path, err := s.Agent(t.Context(), func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", "/nonexistent/agent")
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := agent.NewClient(dial(t, sshargs.Endpoint{Path: path})).List(); err == nil {
		t.Error("it answers")
	}
	told.await(t, Failed)
}
