//go:build unix

package proxycommand

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestDial(t *testing.T) {
	var said bytes.Buffer
	conn, err := Dial(t.Context(), "", `sh -c 'echo up >&2; read line; echo "$line, $0"; read rest' "$(echo you)"`, &said)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "hello\n"); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 64)
	n, err := conn.Read(buf)
	if err != nil || string(buf[:n]) != "hello, you\n" {
		t.Errorf("it answers %q, %v", buf[:n], err)
	}
	conn.Close()
	<-conn.(*running).ended
	if said.String() != "up\n" {
		t.Errorf("it said %q", &said)
	}
}

// A program that does not care about the end of its input is ended.
func TestCloseEndsTheProgram(t *testing.T) {
	conn, err := Dial(t.Context(), "/bin/sh", "sh -c 'trap : HUP; while :; do sleep 0.01; done'", nil)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	select {
	case <-conn.(*running).ended:
	case <-time.After(time.Minute):
		t.Fatal("it goes on")
	}
}

func TestProgramThatEnds(t *testing.T) {
	conn, err := Dial(t.Context(), "", "false", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("reading says %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Dial(ctx, "", "false", nil); err == nil || !strings.Contains(err.Error(), "canceled") {
		t.Errorf("a start that is too late: %v", err)
	}
}
