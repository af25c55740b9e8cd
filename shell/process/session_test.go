package process

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"shellagent/shell"
)

// command is a grant for who to run argv, in /.
func command(who shell.Credential, argv ...string) shell.Grant {
	g := shell.Grant{
		Credential: who, Path: argv[0], Argv: argv, Dir: "/",
		Env: []string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + who.Home, "LC_ALL=C.UTF-8"},
	}
	g.Limits.KillOnExit = true
	return g
}

// script is a grant to run a shell script.
func script(who shell.Credential, text string) shell.Grant {
	return command(who, "bash", "-c", text)
}

// quiet drops what the host logs, unless the test is verbose.
func quiet() *slog.Logger {
	if testing.Verbose() {
		return slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	return slog.New(slog.DiscardHandler)
}

func newHost(t testing.TB, c HostConfig) *Host {
	t.Helper()
	c.Log = quiet()
	h, err := NewHost(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

// keepings runs a test with each way to keep a session's processes together.
func keepings(t *testing.T, f func(t *testing.T, h *Host)) {
	t.Run("cgroup", func(t *testing.T) {
		h := newHost(t, HostConfig{})
		if h.groups == nil {
			t.Skip("needs root: no cgroup can be made here, and none was delegated")
		}
		f(t, h)
	})
	t.Run("subreaper", func(t *testing.T) { f(t, newHost(t, HostConfig{NoCgroup: true})) })
}

// terminal80 asks for a terminal.
func terminal80() *shell.Terminal {
	return &shell.Terminal{Term: "xterm", Winsize: shell.Winsize{Cols: 80, Rows: 24}}
}

// started is a program with what it wrote so far.
type started struct {
	*Process
	t        testing.TB
	out, err *collected
}

// collected is an output as far as it was read.
type collected struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{} // closed and replaced when there is more
	end  chan struct{}
}

func collect(r io.Reader) *collected {
	o := &collected{more: make(chan struct{}), end: make(chan struct{})}
	if r == nil {
		close(o.end)
		return o
	}
	go func() {
		defer close(o.end)
		buf := make([]byte, 64<<10)
		for {
			n, err := r.Read(buf)
			o.mu.Lock()
			o.text.Write(buf[:n])
			close(o.more)
			o.more = make(chan struct{})
			o.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return o
}

func (o *collected) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

const patience = 20 * time.Second

// await waits until the output holds want.
func (o *collected) await(t testing.TB, want string) {
	t.Helper()
	limit := time.After(patience)
	for {
		o.mu.Lock()
		text, more := o.text.String(), o.more
		o.mu.Unlock()
		if strings.Contains(text, want) {
			return
		}
		select {
		case <-more:
		case <-o.end:
			if strings.Contains(o.String(), want) {
				return
			}
			t.Fatalf("output ended without %q: %q", want, o.String())
		case <-limit:
			t.Fatalf("output has no %q: %q", want, text)
		}
	}
}

func (o *collected) awaitEnd(t testing.TB) string {
	t.Helper()
	select {
	case <-o.end:
	case <-time.After(patience):
		t.Fatalf("output does not end: %q", o.String())
	}
	return o.String()
}

// begin starts a program and reads what it writes. The test's end closes it.
func begin(t testing.TB, h *Host, g shell.Grant, term *shell.Terminal) *started {
	t.Helper()
	p, err := h.Start(context.Background(), g, term, Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := &started{Process: p, t: t}
	s.out, s.err = collect(p.Output(shell.FrameStdout)), collect(p.Output(shell.FrameStderr))
	t.Cleanup(func() {
		p.HangUp(0)
		s.finish()
	})
	return s
}

func (s *started) give(text string) {
	s.t.Helper()
	if _, err := io.WriteString(s.Stdin(), text); err != nil {
		s.t.Fatal(err)
	}
}

// finish does what a session does at the end: exit, drain, close.
func (s *started) finish() shell.Exit {
	s.t.Helper()
	done := make(chan shell.Exit, 1)
	go func() { done <- s.Wait() }()
	var exit shell.Exit
	select {
	case exit = <-done:
	case <-time.After(patience):
		s.t.Fatalf("program does not end; it wrote %q %q", s.out, s.err)
	}
	s.out.awaitEnd(s.t)
	s.err.awaitEnd(s.t)
	s.Close()
	return exit
}

// result runs a program without input to its end.
func result(t testing.TB, h *Host, g shell.Grant, term *shell.Terminal) (out string, exit shell.Exit) {
	t.Helper()
	s := begin(t, h, g, term)
	if term == nil {
		if err := s.Stdin().Close(); err != nil {
			t.Fatal(err)
		}
	}
	exit = s.finish()
	return s.out.String() + s.err.String(), exit
}

// unique is a number of seconds to sleep that only one test uses, so that its
// processes can be found.
func unique() string { return strconv.Itoa(1_000_000_000 + rand.IntN(1_000_000_000)) }

// running returns the processes that have word as one of their arguments.
func running(t testing.TB, word string) []int {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, f := range files {
		line, err := os.ReadFile(f)
		if err != nil || !bytes.Contains(append([]byte{0}, line...), []byte("\x00"+word+"\x00")) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(f))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// eventually waits for something that takes the kernel or a program a while.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	limit := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// playPart makes a command of the test binary that plays a part.
func playPart(name string, arg ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", arg...)
	cmd.Env = append(os.Environ(), part+"="+name)
	cmd.Stderr = os.Stderr
	return cmd
}
