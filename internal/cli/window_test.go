//go:build linux

package cli

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// window is a program on a pty.
type window struct {
	t      *testing.T
	cmd    *exec.Cmd
	master *os.File

	mu     sync.Mutex
	output bytes.Buffer
	done   chan struct{}
	drawn  chan struct{}
}

// openWindow starts a program on a terminal of 100 by 30.
func openWindow(t *testing.T, name string, args ...string) *window {
	t.Helper()
	w := &window{t: t, cmd: exec.Command(name, args...), done: make(chan struct{}), drawn: make(chan struct{})}
	w.cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "TERM=xterm", "PS1=local$ ", "SSH_AUTH_SOCK=")
	master, err := pty.StartWithSize(w.cmd, &pty.Winsize{Cols: 100, Rows: 30, X: 800, Y: 600})
	if err != nil {
		t.Fatal(err)
	}
	w.master = master
	go func() {
		defer close(w.drawn)
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf)
			w.mu.Lock()
			w.output.Write(buf[:n])
			w.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	go func() { _ = w.cmd.Wait(); close(w.done) }()
	t.Cleanup(func() {
		_ = w.cmd.Process.Kill()
		<-w.done
		master.Close()
		<-w.drawn
	})
	return w
}

func (w *window) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.output.String()
}

func (w *window) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.output.Reset()
}

func (w *window) keys(s string) {
	w.t.Helper()
	if _, err := io.WriteString(w.master, s); err != nil {
		w.t.Fatal(err)
	}
}

// until waits for a condition.
func until(t *testing.T, what string, show func() string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited 10 s for %s:\n%s", what, show())
		}
		<-tick.C
	}
}

func (w *window) see(text string) {
	w.t.Helper()
	until(w.t, fmt.Sprintf("%q", text), w.text, func() bool { return strings.Contains(w.text(), text) })
}

func (w *window) exits(code int) {
	w.t.Helper()
	select {
	case <-w.done:
	case <-time.After(20 * time.Second):
		w.t.Fatalf("waited 20 s for the end:\n%s", w.text())
	}
	if got := w.cmd.ProcessState.ExitCode(); got != code {
		w.t.Errorf("exit code %d, want %d:\n%s", got, code, w.text())
	}
}

func (w *window) isRaw() bool {
	w.t.Helper()
	m, err := unix.IoctlGetTermios(int(w.master.Fd()), unix.TCGETS)
	if err != nil {
		w.t.Fatal(err)
	}
	return m.Lflag&(unix.ECHO|unix.ICANON|unix.ISIG) == 0
}

func (w *window) raw() {
	w.t.Helper()
	until(w.t, "raw mode", w.text, w.isRaw)
}

func (w *window) cooked() {
	w.t.Helper()
	if w.isRaw() {
		w.t.Errorf("the terminal was left raw:\n%s", w.text())
	}
}
