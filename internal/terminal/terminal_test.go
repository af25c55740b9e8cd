//go:build linux

package terminal

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"shellagent/shell"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// openPTY returns a terminal and the keyboard and screen behind it.
func openPTY(t *testing.T) (keyboard, tty *os.File) {
	t.Helper()
	keyboard, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { keyboard.Close(); tty.Close() })
	return keyboard, tty
}

func flags(t *testing.T, tty *os.File) unix.Termios {
	t.Helper()
	m, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return *m
}

func TestRawAndRestore(t *testing.T) {
	_, tty := openPTY(t)
	before := flags(t, tty)
	term, err := Open(tty, tty)
	if err != nil {
		t.Fatal(err)
	}
	term.Restore()
	for range 2 {
		if err := term.Raw(); err != nil {
			t.Fatal(err)
		}
	}
	if m := flags(t, tty); m.Lflag&(unix.ECHO|unix.ICANON|unix.ISIG|unix.IEXTEN) != 0 || m.Oflag&unix.OPOST != 0 || !term.IsRaw() {
		t.Errorf("raw: %+v", m)
	}
	for range 2 {
		term.Restore()
		if m := flags(t, tty); m != before || term.IsRaw() {
			t.Errorf("restored: %+v, want %+v", m, before)
		}
	}
}

func TestNotATerminal(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if Is(r) || Is(nil) {
		t.Error("a pipe, or nothing, is taken for a terminal")
	}
	if _, err := Open(r, w); !errors.Is(err, ErrNotTerminal) {
		t.Errorf("Open: %v", err)
	}
}

func TestSizeOf(t *testing.T) {
	_, tty := openPTY(t)
	if got := SizeOf(nil, tty); got != DefaultSize {
		t.Errorf("a terminal of no size: %+v", got)
	}
	if err := pty.Setsize(tty, &pty.Winsize{Cols: 100, Rows: 30, X: 800, Y: 600}); err != nil {
		t.Fatal(err)
	}
	if got, want := SizeOf(nil, tty), (shell.Winsize{Cols: 100, Rows: 30, XPixel: 800, YPixel: 600}); got != want {
		t.Errorf("size %+v, want %+v", got, want)
	}
	if err := pty.Setsize(tty, &pty.Winsize{Cols: 65535, Rows: 30}); err != nil {
		t.Fatal(err)
	}
	if got := SizeOf(tty); got.Cols != shell.MaxWinsize {
		t.Errorf("an absurd width became %d", got.Cols)
	}
}

func TestInputIsItsOwn(t *testing.T) {
	keyboard, tty := openPTY(t)
	term, err := Open(tty, tty)
	if err != nil {
		t.Fatal(err)
	}
	if err := term.Raw(); err != nil {
		t.Fatal(err)
	}
	input := term.Input()
	if _, err := keyboard.WriteString("k"); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 8)
	if n, err := input.Read(buf); err != nil || string(buf[:n]) != "k" {
		t.Fatalf("read %q, %v", buf[:n], err)
	}
	// The description that a shell shares must stay as it was.
	how, err := unix.FcntlInt(tty.Fd(), unix.F_GETFL, 0)
	if err != nil || how&unix.O_NONBLOCK != 0 {
		t.Errorf("the terminal given to Open is non-blocking now: %#x, %v", how, err)
	}
	read := make(chan error, 1)
	go func() {
		_, err := input.Read(buf)
		read <- err
	}()
	input.Close()
	select {
	case err := <-read:
		if err == nil {
			t.Error("a read of a closed input succeeded")
		}
	case <-time.After(5 * time.Second):
		t.Fatal("closing the input does not wake its reader")
	}
}

// prompt asks on tty in blocking mode, as on /dev/tty.
func prompt(t *testing.T, tty *os.File) *Prompt {
	t.Helper()
	fd, err := unix.Open(tty.Name(), unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), tty.Name())
	t.Cleanup(func() { f.Close() })
	return &Prompt{in: f, out: f, close: func() {}}
}

func TestPrompt(t *testing.T) {
	keyboard, tty := openPTY(t)
	p := prompt(t, tty)
	type_ := func(keys string) {
		if _, err := keyboard.WriteString(keys); err != nil {
			t.Error(err)
		}
	}
	type_("yes \n")
	if got, err := p.Line(t.Context(), "sure? "); err != nil || got != "yes " {
		t.Errorf("line %q, %v", got, err)
	}
	go func() {
		// Typed only once echo is off, as a person would.
		for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); <-time.After(time.Millisecond) {
			if m, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS); err == nil && m.Lflag&unix.ECHO == 0 {
				break
			}
		}
		type_("sesame\n")
	}()
	secret, err := p.Secret(t.Context(), "open? ")
	if err != nil || string(secret) != "sesame" {
		t.Errorf("secret %q, %v", secret, err)
	}
	screen := make([]byte, 4096)
	n, err := keyboard.Read(screen)
	if err != nil || strings.Contains(string(screen[:n]), "sesame") {
		t.Errorf("on the screen: %q, %v", screen[:n], err)
	}
	if flags(t, tty).Lflag&unix.ECHO == 0 {
		t.Error("echo was left off")
	}
}

func TestPromptIsInterrupted(t *testing.T) {
	keyboard, tty := openPTY(t)
	p := prompt(t, tty)
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("interrupted")
	go func() {
		for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); <-time.After(time.Millisecond) {
			if m, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS); err == nil && m.Lflag&unix.ECHO == 0 {
				break
			}
		}
		cancel(why)
	}()
	if _, err := p.Secret(ctx, "open? "); !errors.Is(err, why) {
		t.Errorf("error %v, want %v", err, why)
	}
	if flags(t, tty).Lflag&unix.ECHO == 0 {
		t.Error("echo was left off")
	}
	// Let the reader that stayed behind end.
	if _, err := keyboard.WriteString("\n"); err != nil {
		t.Fatal(err)
	}
}

func TestPromptOnATerminalThatIsGone(t *testing.T) {
	keyboard, tty := openPTY(t)
	p := prompt(t, tty)
	keyboard.Close()
	if _, err := p.Line(t.Context(), ""); err == nil {
		t.Error("a terminal that is gone gave an answer")
	}
	if _, err := p.Secret(t.Context(), ""); err == nil {
		t.Error("a terminal that is gone gave a secret")
	}
}
