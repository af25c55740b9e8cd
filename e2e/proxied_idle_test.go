package e2e

import (
	"context"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// Proxies cut what is idle for a minute, as the examples have it and as many do
// by default. Sessions say something more often than that.
func TestIdleSessionsBehindProxies(t *testing.T) {
	t.Parallel() // it mostly waits
	const idle = "90"
	type session struct {
		p      *proxied
		screen *screen
		exec   *exec.Cmd
		stdin  io.WriteCloser
		stdout *syncBuffer
		stderr *syncBuffer
		before int // connections lost before anything was idle
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	var sessions []*session
	for _, a := range arrangements() {
		s := &session{p: startProxied(t, a, nil), stdout: new(syncBuffer), stderr: new(syncBuffer)}
		s.screen = shellScreen(t, s.p.host)
		s.screen.remotePrompt()
		s.screen.line("clear; mark=kept")
		// The other encoding, and input that stays open without a byte.
		s.exec = s.p.clientCmd(ctx, "exec", "debug", "myhost", "--command", "echo begun; sleep "+idle+"; echo slept; head -c 3")
		s.exec.Stdout, s.exec.Stderr = s.stdout, s.stderr
		sessions = append(sessions, s)
	}
	for _, s := range sessions {
		var err error
		if s.stdin, err = s.exec.StdinPipe(); err != nil {
			t.Fatal(err)
		}
		if err := s.exec.Start(); err != nil {
			t.Fatal(err)
		}
	}
	said := func(s *session, text string, within time.Duration) {
		t.Helper()
		if !eventually(within, func() bool { return strings.Contains(s.stdout.String(), text) }) {
			t.Fatalf("%s: waited %v for %q, and there is %q, %q", s.p.arrangement, within, text, s.stdout, s.stderr)
		}
	}
	for _, s := range sessions {
		said(s, "begun", 20*time.Second)
		s.before = s.p.lostConnections()
	}
	for _, s := range sessions {
		said(s, "slept", 2*time.Minute)
		// The first byte goes up when the minute and a half is over.
		if _, err := s.stdin.Write([]byte("end")); err != nil {
			t.Errorf("%s: %v", s.p.arrangement, err)
		}
		err := s.exec.Wait()
		t.Run(s.p.arrangement.String(), func(t *testing.T) {
			if err != nil || s.stdout.String() != "begun\nslept\nend" {
				t.Errorf("exec: %v, %q, %q", err, s.stdout, s.stderr)
			}
			s.screen.t = t
			s.screen.line("echo $mark $mark")
			s.screen.see("kept kept")
			if n := s.p.lostConnections() - s.before; n != 0 {
				t.Errorf("connections were lost %d times", n)
			}
		})
	}
}
