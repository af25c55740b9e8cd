package process

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"shellagent/internal/rawio"
	"shellagent/shell"
)

// terminalInput writes what the person types. One call at a time.
type terminalInput struct {
	terminal *terminal
	last     byte // the last byte given
	given    bool
	ending   bool   // Close has begun
	rest     []byte // what of the end it has not typed yet
	closed   bool

	prompt func(fd uintptr) bool // attempt, made once: a key allocates nothing
	now    []byte                // what it writes
	wrote  int                   // what came of it
}

// Write blocks while the terminal's queue is full. An error means that nobody
// reads the terminal any more; it is syscall.EPIPE then, as it is for a pipe.
func (in *terminalInput) Write(p []byte) (n int, err error) {
	if in.closed {
		return 0, os.ErrClosed
	}
	n, err = in.write(p)
	if n > 0 {
		in.last, in.given = p[n-1], true
	}
	if errors.Is(err, syscall.EIO) {
		err = fmt.Errorf("write %s: %w", in.terminal.name, syscall.EPIPE)
	}
	return n, err
}

var _ shell.PromptWriter = (*terminalInput)(nil)

// WritePrompt implements [shell.PromptWriter].
func (in *terminalInput) WritePrompt(p []byte) (n int, err error) {
	if in.closed || in.ending {
		return 0, nil
	}
	in.now = p
	err = in.terminal.conn.Write(in.prompt)
	n = in.wrote
	if in.now, in.wrote = nil, 0; n > 0 {
		in.last, in.given = p[n-1], true
	}
	return n, err
}

// attempt writes once, whatever comes of it.
func (in *terminalInput) attempt(fd uintptr) bool {
	n, _, _ := rawio.TryWrite(fd, in.now)
	in.wrote = max(n, 0)
	return true
}

// write is not os.File's: with its queue full and nobody left to read it, the
// kernel says EAGAIN and at once that there is room, for ever.
func (in *terminalInput) write(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var failed error
		err = in.terminal.conn.Write(func(fd uintptr) bool {
			var m int
			m, failed = unix.Write(int(fd), p[n:])
			n += max(m, 0)
			switch {
			case errors.Is(failed, unix.EINTR):
				failed = nil
			case errors.Is(failed, unix.EAGAIN):
				if failed = nil; !hungUp(fd) {
					return false
				}
				failed = unix.EIO
			}
			return true
		})
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return n, shell.ErrSuspended
		case err != nil:
			return n, os.ErrClosed
		}
		err = failed
	}
	return n, err
}

// hungUp says that nobody has the other end open.
func hungUp(fd uintptr) bool {
	fds := [1]unix.PollFd{{Fd: int32(fd)}}
	_, err := unix.Poll(fds[:], 0)
	return err == nil && fds[0].Revents&unix.POLLHUP != 0
}

// Close tells the end of input as a person would, since a terminal has no other
// way: by the VEOF character (^D).
//
// While the terminal edits lines (ICANON), VEOF ends the read at hand. After a
// complete line, or nothing, once is end of file; after a part of a line the
// first hands over that part and the second is end of file. While a program
// edits lines itself but leaves the signal keys to the terminal (ISIG: readline,
// a pager), VEOF is a key like any other and is pressed once. A raw terminal
// gets nothing: there is no end of file there, and a stray byte would be data.
func (in *terminalInput) Close() error {
	if in.closed {
		return nil
	}
	if err := in.end(); err != nil {
		in.closed = true
		return err
	}
	n, err := in.write(in.rest)
	in.rest = in.rest[n:]
	in.closed = !errors.Is(err, shell.ErrSuspended)
	if errors.Is(err, syscall.EIO) {
		return nil // nobody is left to be told
	}
	return err
}

// end decides once what is to be typed at the end.
func (in *terminalInput) end() error {
	if in.ending {
		return nil
	}
	var modes *unix.Termios
	err := in.terminal.control(func(fd int) (err error) {
		modes, err = unix.IoctlGetTermios(fd, unix.TCGETS)
		return err
	})
	if err != nil {
		return fmt.Errorf("end the input of %s: %w", in.terminal.name, err)
	}
	in.ending, in.rest = true, endOfInput(modes, in.given, in.last)
	return nil
}

// endOfInput is what to type to say that no more will be typed.
func endOfInput(modes *unix.Termios, given bool, last byte) []byte {
	const disabled = 0 // _POSIX_VDISABLE
	eof := modes.Cc[unix.VEOF]
	switch {
	case eof == disabled:
		return nil
	case modes.Lflag&unix.ICANON == 0:
		if modes.Lflag&unix.ISIG == 0 {
			return nil
		}
		return []byte{eof}
	case !given || endsLine(modes, last):
		return []byte{eof}
	default:
		return []byte{eof, eof}
	}
}

func endsLine(modes *unix.Termios, c byte) bool {
	switch c {
	case '\n':
		return modes.Iflag&unix.INLCR == 0
	case '\r':
		return modes.Iflag&unix.ICRNL != 0 && modes.Iflag&unix.IGNCR == 0
	case 0:
		return false
	default:
		return c == modes.Cc[unix.VEOF] || c == modes.Cc[unix.VEOL] || c == modes.Cc[unix.VEOL2]
	}
}
