//go:build linux

package cli

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
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
	t.Run("detach", func(t *testing.T) {
		a := fake(t)
		w := openShell(t, a.addr)
		w.keys("echo hi\r~d")
		w.exits(0)
		w.cooked()
		w.see("detached; the session is kept for 60 s without a client; come back with:\r\n")
		w.see("agent attach " + a.addr + " ")
		a.await(t, "detached")
		if a.log.has("hung up") {
			t.Error("the session was hung up")
		}
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
			w.see("the session is kept for 60 s")
			a.await(t, "detached")
			a.log.forget()
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

	// What is typed into the new window arrives after its size.
	for cols := uint16(91); cols < 121; cols++ {
		if err := pty.Setsize(w.master, &pty.Winsize{Cols: cols, Rows: 20}); err != nil {
			t.Fatal(err)
		}
		key := string(rune('A' + cols%26))
		w.keys(key)
		a.await(t, fmt.Sprintf("typed %q", key))
		if !a.log.has(fmt.Sprintf("resized to %dx20", cols)) {
			t.Errorf("%q was typed before %d columns were told", key, cols)
		}
		a.log.forget()
	}
}
