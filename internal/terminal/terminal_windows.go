package terminal

import (
	"io"
	"os"

	"golang.org/x/sys/windows"
	"golang.org/x/term"

	"shellagent/shell"
)

// modes are the console's: input and output have one each.
type modes struct {
	in  *term.State
	out uint32
	// hasOut is false when the output is not a console.
	hasOut bool
}

func makeRaw(in, out *os.File) (*modes, error) {
	m := &modes{}
	err := withFD(in, func(fd int) (err error) {
		m.in, err = term.MakeRaw(fd)
		return err
	})
	if err != nil {
		return nil, err
	}
	// Programs draw with escape sequences, which older consoles take only when asked to.
	_ = withFD(out, func(fd int) error {
		h := windows.Handle(fd)
		if err := windows.GetConsoleMode(h, &m.out); err != nil {
			return err
		}
		m.hasOut = true
		return windows.SetConsoleMode(h, m.out|windows.ENABLE_PROCESSED_OUTPUT|
			windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING|windows.DISABLE_NEWLINE_AUTO_RETURN)
	})
	return m, nil
}

func (m *modes) restore(in, out *os.File) {
	_ = withFD(in, func(fd int) error { return term.Restore(fd, m.in) })
	if m.hasOut {
		_ = withFD(out, func(fd int) error { return windows.SetConsoleMode(windows.Handle(fd), m.out) })
	}
}

func sizeOf(f *os.File) (size shell.Winsize, err error) {
	err = withFD(f, func(fd int) error {
		cols, rows, err := term.GetSize(fd)
		if err != nil {
			return err
		}
		size = shell.Winsize{Cols: uint16(cols), Rows: uint16(rows)}
		return nil
	})
	return size, err
}

// openInput returns the console itself: its Read cannot be woken.
func openInput(in *os.File) io.ReadCloser { return io.NopCloser(in) }
