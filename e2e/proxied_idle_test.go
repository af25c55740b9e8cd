package e2e

import (
	"bytes"
	"context"
	"os/exec"
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
		stdout *bytes.Buffer
		stderr *bytes.Buffer
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	var sessions []*session
	for _, a := range arrangements() {
		s := &session{p: startProxied(t, a, nil), stdout: new(bytes.Buffer), stderr: new(bytes.Buffer)}
		s.screen = shellScreen(t, s.p.host)
		s.screen.remotePrompt()
		s.screen.line("clear; mark=kept")
		// The other encoding, and input that stays open without a byte.
		s.exec = s.p.clientCmd(ctx, "exec", "debug", "myhost", "--command", "sleep "+idle+"; echo slept; head -c 3")
		s.exec.Stdout, s.exec.Stderr = s.stdout, s.stderr
		sessions = append(sessions, s)
	}
	for _, s := range sessions {
		input, err := s.exec.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := s.exec.Start(); err != nil {
			t.Fatal(err)
		}
		// The first byte goes up when the minute and a half is over.
		go func() { _, _ = input.Write([]byte("end")) }()
	}
	for _, s := range sessions {
		err := s.exec.Wait()
		t.Run(s.p.arrangement.String(), func(t *testing.T) {
			if err != nil || s.stdout.String() != "slept\nend" {
				t.Errorf("exec: %v, %q, %q", err, s.stdout, s.stderr)
			}
			s.screen.t = t
			s.screen.line("echo $mark $mark")
			s.screen.see("kept kept")
			if n := s.p.lostConnections(); n != 0 {
				t.Errorf("connections were lost %d times", n)
			}
		})
	}
}
