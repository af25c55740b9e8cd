package terminal

import (
	"errors"
	"io"
	"os"
	"sync"

	"golang.org/x/term"

	"shellagent/shell"
)

// ErrNotTerminal says that a file is not a terminal.
var ErrNotTerminal = errors.New("not a terminal")

// DefaultSize is what a program is told when no size can be learned.
var DefaultSize = shell.Winsize{Cols: 80, Rows: 24}

// Terminal is the person's terminal: what keys come from and what is drawn on.
// Its methods may be called from any goroutine.
type Terminal struct {
	in, out *os.File

	mu sync.Mutex
	// cooked is the mode to go back to: the first one seen. One taken later may
	// already be raw, when a stop that could not be caught came between.
	cooked *modes
	raw    bool
}

// Is reports whether f is a terminal. A nil file is not.
func Is(f *os.File) bool {
	if f == nil {
		return false
	}
	is := false
	withFD(f, func(fd int) error {
		is = term.IsTerminal(fd)
		return nil
	})
	return is
}

// Open takes the terminal that in is. out is where the program's output goes;
// it need not be a terminal. Nothing is changed before [Terminal.Raw].
func Open(in, out *os.File) (*Terminal, error) {
	if !Is(in) {
		return nil, ErrNotTerminal
	}
	return &Terminal{in: in, out: out}, nil
}

// Raw sends every key as it is typed and draws every byte as it comes. It may
// be called again, which sets the mode anew: after a stop, a shell may have
// changed it.
func (t *Terminal) Raw() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	before, err := makeRaw(t.in, t.out)
	if err != nil {
		return err
	}
	if t.cooked == nil {
		t.cooked = before
	}
	t.raw = true
	return nil
}

// Restore undoes [Terminal.Raw]. Calling it again, or without a Raw before, does nothing.
func (t *Terminal) Restore() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.raw {
		return
	}
	t.raw = false
	t.cooked.restore(t.in, t.out)
}

// IsRaw reports whether the terminal is in raw mode, where a line must end in
// "\r\n".
func (t *Terminal) IsRaw() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.raw
}

// Go runs f in a goroutine and restores the terminal if f panics: the runtime
// ends the process without running what main deferred.
func (t *Terminal) Go(f func()) {
	go func() {
		done := false
		defer func() {
			if !done {
				t.Restore()
			}
		}()
		f()
		done = true
	}()
}

// Size returns the window's size, of the output or else of the input.
func (t *Terminal) Size() shell.Winsize { return SizeOf(t.out, t.in) }

// SizeOf returns the window's size of the first file that is a terminal with
// one, else [DefaultSize].
func SizeOf(files ...*os.File) shell.Winsize {
	for _, f := range files {
		if size, err := sizeOf(f); err == nil && size.Cols > 0 && size.Rows > 0 {
			return bounded(size)
		}
	}
	return DefaultSize
}

// bounded keeps a size that some terminal emulator made up within what the
// protocol takes.
func bounded(size shell.Winsize) shell.Winsize {
	size.Cols = min(size.Cols, shell.MaxWinsize)
	size.Rows = min(size.Rows, shell.MaxWinsize)
	return size
}

// Input returns the keys. Closing it wakes a Read where the system allows it;
// the file given to Open stays open.
func (t *Terminal) Input() io.ReadCloser { return openInput(t.in) }

// withFD calls f with the descriptor of file without changing how file reads:
// File.Fd may make it blocking.
func withFD(file *os.File, f func(fd int) error) error {
	if file == nil {
		return ErrNotTerminal
	}
	conn, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := conn.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return err
	}
	return inner
}
