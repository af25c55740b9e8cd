//go:build linux

package cli

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"shellagent/internal/terminal"
)

// drawnProgram takes its terminal and panics, in the goroutine that it is told.
func drawnProgram() {
	t, err := terminal.Open(os.Stdin, os.Stdout)
	if err != nil {
		panic(err)
	}
	defer t.Restore()
	if err := t.Raw(); err != nil {
		panic(err)
	}
	fmt.Print("raw\r\n")
	_, _ = os.Stdin.Read(make([]byte, 1))
	if os.Args[1] == "main" {
		panic("on purpose")
	}
	t.Go(func() { panic("on purpose") })
	select {}
}

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
	case <-time.After(10 * time.Second):
		w.t.Fatalf("waited 10 s for the end:\n%s", w.text())
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

// client returns the arguments that reach a fake agent, after "shell" or "exec".
func client(t *testing.T, addr string) []string {
	t.Helper()
	key := filepath.Join(t.TempDir(), "key")
	if _, err := newKeyFile(key); err != nil {
		t.Fatal(err)
	}
	return []string{"-i", key, "--accept-new", "debug", addr}
}

func fake(t *testing.T) *fakeAgent {
	t.Helper()
	a, err := startFakeAgent("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.close)
	return a
}

func (a *fakeAgent) await(t *testing.T, line string) {
	t.Helper()
	until(t, "the agent to log "+line, func() string { return fmt.Sprint(a.log.lines) }, func() bool { return a.log.has(line) })
}

func openShell(t *testing.T, addr string) *window {
	t.Helper()
	w := openWindow(t, "agent", append([]string{"shell"}, client(t, addr)...)...)
	w.raw()
	return w
}

func TestTerminalIsRestored(t *testing.T) {
	a := fake(t)
	t.Run("at the end", func(t *testing.T) {
		w := openShell(t, a.addr)
		w.keys("echo hi\r")
		w.see("echo hi\r")
		w.keys("exit 7\r")
		w.exits(7)
		w.cooked()
		w.see("connection to " + a.addr + " closed\r\n")
	})
	for signal, code := range map[syscall.Signal]int{unix.SIGTERM: 143, unix.SIGHUP: 129, unix.SIGINT: 130} {
		t.Run(signal.String(), func(t *testing.T) {
			a := fake(t)
			w := openShell(t, a.addr)
			if err := w.cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			w.exits(code)
			w.cooked()
			a.await(t, "hung up")
		})
	}
	for _, where := range []string{"main", "other"} {
		t.Run("panic in "+where, func(t *testing.T) {
			w := openWindow(t, "drawn", where)
			w.see("raw")
			w.raw()
			w.keys("x")
			w.exits(2)
			w.cooked()
			w.see("on purpose")
		})
	}
	t.Run("the connection is lost", func(t *testing.T) {
		a := fake(t)
		w := openShell(t, a.addr)
		a.close()
		w.exits(255)
		w.cooked()
		w.see("is lost")
	})
}

func TestEscapes(t *testing.T) {
	a := fake(t)
	t.Run("help and leave", func(t *testing.T) {
		a := fake(t)
		w := openShell(t, a.addr)
		w.keys("~?")
		w.see("  ~^Z  suspend this program\r\n")
		w.keys("\r~.")
		w.exits(255)
		w.cooked()
		w.see("left " + a.addr + "\r\n")
		a.await(t, "hung up")
	})
	t.Run("leave a dead connection at once", func(t *testing.T) {
		p := startProxy(t, a.addr)
		w := openShell(t, p.addr)
		w.keys("before\r")
		w.see("before")
		p.freeze()
		w.keys(strings.Repeat("typed into the void\r", 100))
		began := time.Now()
		w.keys("~.")
		w.exits(255)
		w.cooked()
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("leaving took %v", took)
		}
	})
	t.Run("suspend and go on", func(t *testing.T) {
		bash, err := exec.LookPath("bash")
		if err != nil {
			t.Fatal("bash is missing: its job control stops and continues the client")
		}
		a := fake(t)
		w := openWindow(t, bash, "--norc", "--noediting", "-i")
		w.see("local$")
		line := "agent shell " + strings.Join(client(t, a.addr), " ")
		for _, how := range []func(){
			func() { w.keys("\r~\x1a") },
			func() { // a stop from outside stops the client alone
				out, err := exec.Command("pgrep", "-nf", "^agent shell").Output()
				if err != nil {
					t.Fatal(err)
				}
				var pid int
				_, _ = fmt.Sscan(string(out), &pid)
				_ = syscall.Kill(pid, unix.SIGTSTP)
			},
		} {
			w.forget()
			w.keys(line + "\r")
			w.raw()
			w.keys("one\r")
			w.see("one\r")
			how()
			w.see("unless it goes on within 85 s\r\n")
			w.see("Stopped")
			until(t, "cooked mode", w.text, func() bool { return !w.isRaw() })
			if err := pty.Setsize(w.master, &pty.Winsize{Cols: 91, Rows: 21}); err != nil {
				t.Fatal(err)
			}
			w.keys("fg\r")
			w.raw()
			a.await(t, "resized to 91x21")
			w.keys("two\r")
			w.see("two\r")
			w.keys("exit 5\r")
			w.see("closed")
			w.keys("echo code=$?\r")
			w.see("code=5")
		}
	})
}

func TestWindowSize(t *testing.T) {
	a := fake(t)
	w := openShell(t, a.addr)
	a.await(t, "opened  on 100x30 800x600 xterm")
	if err := pty.Setsize(w.master, &pty.Winsize{Cols: 90, Rows: 20}); err != nil {
		t.Fatal(err)
	}
	a.await(t, "resized to 90x20")
}

// proxy passes bytes until it is frozen; then it takes them and tells nobody.
type proxy struct {
	addr   string
	frozen chan struct{}
}

func startProxy(t *testing.T, to string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{addr: l.Addr().String(), frozen: make(chan struct{})}
	over := make(chan struct{})
	t.Cleanup(func() { l.Close(); close(over) })
	pass := func(dst, src net.Conn) {
		buf := make([]byte, 32<<10)
		for {
			n, err := src.Read(buf)
			select {
			case <-p.frozen:
				<-over
				err = io.EOF
			default:
			}
			if err != nil {
				dst.Close()
				src.Close()
				return
			}
			_, _ = dst.Write(buf[:n])
		}
	}
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				near.Close()
				continue
			}
			go pass(near, far)
			go pass(far, near)
		}
	}()
	return p
}

func (p *proxy) freeze() { close(p.frozen) }
