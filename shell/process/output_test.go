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
