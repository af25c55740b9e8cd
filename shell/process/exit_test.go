package process

import (
	"fmt"
	"io"
	"testing"

	"shellagent/shell"
)

func TestExit(t *testing.T) {
	h := newHost(t, HostConfig{})
	who := self(t)
	for _, code := range []int{0, 1, 2, 7, 42, 126, 127, 128, 137, 254, 255} {
		for _, term := range []*shell.Terminal{nil, terminal80()} {
			if _, exit := result(t, h, script(who, fmt.Sprintf("exit %d", code)), term); exit != (shell.Exit{Code: code}) {
				t.Errorf("exit %d: %+v", code, exit)
			}
		}
	}
	for name, want := range map[string]shell.Exit{
		"KILL": {Code: 137, Signal: "KILL"},
		"TERM": {Code: 143, Signal: "TERM"},
		"HUP":  {Code: 129, Signal: "HUP"},
		"PIPE": {Code: 141, Signal: "PIPE"},
		"40":   {Code: 168, Signal: "40"},
	} {
		if _, exit := result(t, h, script(who, "kill -"+name+" $$"), nil); exit != want {
			t.Errorf("kill -%s: %+v", name, exit)
		}
	}
}

func TestSignalByName(t *testing.T) {
	h := newHost(t, HostConfig{})
	who := self(t)
	const traps = "for s in INT TERM HUP QUIT USR1 USR2 TSTP CONT WINCH ALRM PIPE; do trap \"echo got $s.\" $s; done; echo ready; while :; do sleep 0.01; done"
	for _, term := range []*shell.Terminal{nil, terminal80()} {
		s := begin(t, h, script(who, traps), term)
		s.out.await(t, "ready")
		for name := range signalNames {
			if name == "KILL" {
				continue
			}
			if err := s.Signal(name); err != nil {
				t.Error(err)
			}
			s.out.await(t, "got "+name+".")
		}
		for _, name := range []string{"", "9", "SIGINT", "STOP", "SEGV"} {
			if err := s.Signal(name); err == nil {
				t.Errorf("signal %q was sent", name)
			}
		}
		if err := s.Signal("KILL"); err != nil {
			t.Error(err)
		}
		if exit := s.finish(); exit != (shell.Exit{Code: 137, Signal: "KILL"}) {
			t.Errorf("%+v", exit)
		}
		if err := s.Signal("TERM"); err == nil {
			t.Error("a signal was sent to a program that has ended")
		}
	}
}

func TestFailedProgram(t *testing.T) {
	for _, c := range []struct {
		terminal bool
		out, err string
	}{
		{false, "", "nope: command not found\n"},
		{true, "nope: command not found\r\n", ""},
	} {
		p := FailedProgram(127, "nope: command not found\n", c.terminal)
		out, err := collect(p.Output(shell.FrameStdout)), collect(p.Output(shell.FrameStderr))
		if c.terminal != (p.Output(shell.FrameStderr) == nil) {
			t.Error("a terminal has no standard error")
		}
		if n, err := io.WriteString(p.Stdin(), "input"); n != 5 || err != nil {
			t.Error(n, err)
		}
		p.HangUp(0)
		if exit := p.Wait(); exit != (shell.Exit{Code: 127}) {
			t.Errorf("%+v", exit)
		}
		if out.awaitEnd(t) != c.out || err.awaitEnd(t) != c.err {
			t.Errorf("%q %q", out, err)
		}
		p.Close()
	}
}
