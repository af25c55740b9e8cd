package process

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

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

// The last bytes before the exit are the ones that get lost.
func TestOutputIsCompleteAtTheExit(t *testing.T) {
	h := newHost(t, HostConfig{})
	who := self(t)
	const n = 3000
	for i := range 25 {
		out, _ := result(t, h, command(who, "seq", "1", fmt.Sprint(n)), terminal80())
		if want := fmt.Sprintf("%d\r\n", n); !strings.HasSuffix(out, want) || strings.Count(out, "\n") != n {
			t.Fatalf("run %d: %d lines, ends with %q", i, strings.Count(out, "\n"), out[max(0, len(out)-20):])
		}
	}
}

func TestABackgroundJobDoesNotHoldATerminal(t *testing.T) {
	h := newHost(t, HostConfig{})
	g := script(self(t), "trap '' HUP; echo begun; (while echo noise; do :; done) & sleep 0.1; echo 'the end'")
	g.Limits.KillOnExit = false
	s := begin(t, h, g, terminal80())
	exit := s.finish()
	if exit.Code != 0 || !strings.Contains(s.out.String(), "the end") {
		t.Errorf("%+v, %d bytes", exit, len(s.out.String()))
	}
	eventually(t, "the job ends with its terminal", s.tree.empty)
}

func TestStreamsAreApartWithoutATerminal(t *testing.T) {
	h := newHost(t, HostConfig{})
	s := begin(t, h, script(self(t), "echo out; echo err >&2; tty; cat"), nil)
	s.give("in\n")
	if err := s.Stdin().Close(); err != nil {
		t.Fatal(err)
	}
	s.finish()
	if s.out.String() != "out\nnot a tty\nin\n" || s.err.String() != "err\n" {
		t.Errorf("%q %q", s.out, s.err)
	}
	if s.TTY() != "" || s.Resize(shell.Winsize{Cols: 1, Rows: 1}) != nil {
		t.Error("pipes have no terminal")
	}
}

func TestAnInputNobodyReads(t *testing.T) {
	h := newHost(t, HostConfig{})
	for _, term := range []*shell.Terminal{nil, terminal80()} {
		s := begin(t, h, script(self(t), "exec <&- >&- 2>&-; sleep 0.05"), term)
		big := bytes.Repeat([]byte("x\n"), 1<<20)
		if _, err := s.Stdin().Write(big); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("terminal %v: %v", term, err)
		}
		s.finish()
	}
}

// A full terminal once made its writer spin.
func TestABlockedWriteCostsNothing(t *testing.T) {
	h := newHost(t, HostConfig{})
	for _, mode := range []string{"raw -echo", "-echo", "echo"} {
		s := begin(t, h, script(self(t), "stty "+mode+"; echo ready; sleep 1000"), terminal80())
		s.out.await(t, "ready")
		written := make(chan struct{})
		go func() {
			defer close(written)
			_, _ = s.Stdin().Write(bytes.Repeat([]byte("x\n"), 1<<20))
		}()
		before := cpuTime(t)
		select {
		case <-written:
			t.Error("nobody reads, and the write returned")
		case <-time.After(500 * time.Millisecond):
		}
		if used := cpuTime(t) - before; used > 100*time.Millisecond {
			t.Errorf("stty %s: %v of CPU for half a second of waiting", mode, used)
		}
		s.HangUp(0)
		s.finish()
		<-written
	}
}

func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		t.Fatal(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}

func TestCloseWakesWhoWaits(t *testing.T) {
	h := newHost(t, HostConfig{})
	for _, term := range []*shell.Terminal{nil, terminal80()} {
		g := script(self(t), "trap '' HUP; echo ready; (sleep 1000) & stty raw -echo 2>/dev/null; wait")
		p, err := h.Start(context.Background(), g, term, Options{Grace: 10 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		out := collect(p.Output(shell.FrameStdout))
		out.await(t, "ready")
		written := make(chan error, 1)
		go func() {
			_, err := p.Stdin().Write(make([]byte, 4<<20))
			written <- err
		}()
		waiting := make(chan error, 1)
		if e, ok := p.Output(shell.FrameStderr).(shell.ReadinessWaiter); ok {
			go func() { waiting <- e.WaitReadable() }()
		} else {
			waiting <- io.EOF
		}
		p.Close()
		if err := <-written; err == nil {
			t.Error("a write of more than anybody reads succeeded")
		}
		if err := <-waiting; !errors.Is(err, io.EOF) {
			t.Errorf("waiting for a closed output: %v", err)
		}
		out.awaitEnd(t)
	}
}

func TestWaitReadable(t *testing.T) {
	h := newHost(t, HostConfig{})
	for _, term := range []*shell.Terminal{nil, terminal80()} {
		p, err := h.Start(context.Background(), script(self(t), "read x; echo one; read x"), term, Options{})
		if err != nil {
			t.Fatal(err)
		}
		out := p.Output(shell.FrameStdout)
		wait := out.(shell.ReadinessWaiter)
		ready := make(chan error, 1)
		go func() { ready <- wait.WaitReadable() }()
		select {
		case err := <-ready:
			t.Fatalf("ready before there is anything: %v", err)
		case <-time.After(50 * time.Millisecond):
		}
		if _, err := io.WriteString(p.Stdin(), "\n"); err != nil {
			t.Fatal(err)
		}
		if err := <-ready; err != nil {
			t.Error(err)
		}
		var text []byte
		buf := make([]byte, 100)
		for !bytes.Contains(text, []byte("one")) {
			if err := wait.WaitReadable(); err != nil {
				t.Fatal(err)
			}
			n, err := out.Read(buf)
			if err != nil {
				t.Fatalf("%v after %q", err, text)
			}
			text = append(text, buf[:n]...)
		}
		if _, err := io.WriteString(p.Stdin(), "\n"); err != nil {
			t.Fatal(err)
		}
		go p.Wait()
		for err == nil {
			_ = wait.WaitReadable()
			_, err = out.Read(buf)
		}
		if !errors.Is(err, io.EOF) {
			t.Error(err)
		}
		p.Close()
	}
}

func TestBulk(t *testing.T) {
	const size = 50 << 20
	h := newHost(t, HostConfig{})
	p, err := h.Start(context.Background(), command(self(t), "cat"), nil, Options{})
	if err != nil {
		t.Fatal(err)
	}
	random := rand.NewChaCha8([32]byte{1})
	sent, received := sha256.New(), sha256.New()
	fed := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.MultiWriter(p.Stdin(), sent), io.LimitReader(random, size))
		fed <- errors.Join(err, p.Stdin().Close())
	}()
	begun := time.Now()
	n, err := io.CopyBuffer(struct{ io.Writer }{received}, p.Output(shell.FrameStdout), make([]byte, 64<<10))
	if err != nil || n != size {
		t.Errorf("%d bytes, %v", n, err)
	}
	if err := <-fed; err != nil {
		t.Error(err)
	}
	if !bytes.Equal(sent.Sum(nil), received.Sum(nil)) {
		t.Error("not what was sent")
	}
	t.Logf("%d MiB both ways in %v", size>>20, time.Since(begun))
	if exit := p.Wait(); exit != (shell.Exit{}) {
		t.Errorf("%+v", exit)
	}
	p.Close()
}

// A paste is longer than a terminal's queue and comes faster than it is read.
func TestPaste(t *testing.T) {
	h := newHost(t, HostConfig{})
	for _, mode := range []string{"stty -echo", "stty raw -echo", "stty echo"} {
		t.Run(mode, func(t *testing.T) {
			var paste strings.Builder
			for i := 0; paste.Len() < 1<<20; i++ {
				fmt.Fprintf(&paste, "line %d of a long paste\n", i)
			}
			paste.WriteString("end of paste\n")
			g := script(self(t), mode+`; echo ready; sed '/^end of paste/q' | sha256sum`)
			s := begin(t, h, g, terminal80())
			s.out.await(t, "ready")
			s.give(paste.String())
			s.out.await(t, fmt.Sprintf("%x", sha256.Sum256([]byte(paste.String()))))
			s.finish()
		})
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
