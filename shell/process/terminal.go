package process

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"shellagent/shell"
)

// terminal is a pty. Its master is non-blocking and watched by the runtime's
// poller, so that closing it wakes who reads and deadlines work; therefore it
// is never asked for by Fd, which would make it blocking again.
type terminal struct {
	name   string
	master *os.File
	conn   syscall.RawConn // the master's
	slave  *os.File
	in     terminalInput
	out    output
}

// openTerminal opens a pty that belongs to the user and has its size and modes
// before anybody can look at it.
func (h *Host) openTerminal(size shell.Winsize, c shell.Credential) (*terminal, error) {
	master, slave, err := pty.Open()
	if err != nil {
		return nil, fmt.Errorf("open a terminal: %w (raise kernel.pty.max or the agent's limit of open files)", err)
	}
	defer master.Close()
	t := &terminal{name: slave.Name(), slave: slave}
	if t.master = dupNonblocking(int(master.Fd()), master.Name()); t.master == nil {
		_ = slave.Close()
		return nil, errors.New("open a terminal: no free descriptor (raise the agent's limit of open files)")
	}
	t.in.terminal, t.in.prompt = t, t.in.attempt
	if err := t.prepare(h, size, c); err != nil {
		t.closeChildEnds()
		t.close()
		return nil, fmt.Errorf("prepare terminal %s: %w", t.name, err)
	}
	return t, nil
}

func (t *terminal) prepare(h *Host, size shell.Winsize, c shell.Credential) (err error) {
	if err := t.out.open(t.master); err != nil {
		return err
	}
	t.conn = t.out.conn
	if err := t.resize(size); err != nil {
		return err
	}
	if err := h.giveTerminal(t.slave, c); err != nil {
		return err
	}
	fd := int(t.slave.Fd()) // the child's end is blocking
	modes, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return fmt.Errorf("read its modes: %w", err)
	}
	// The kernel's defaults are what a person expects, but for this: without
	// it, erasing a character of UTF-8 erases one of its bytes.
	modes.Iflag |= unix.IUTF8
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, modes); err != nil {
		return fmt.Errorf("set its modes: %w", err)
	}
	return nil
}

// giveTerminal makes the tty the user's. Group tty may write to it, which is
// what write(1) and wall(1) are setgid for; without that group nobody may.
func (h *Host) giveTerminal(slave *os.File, c shell.Credential) error {
	info, err := slave.Stat()
	if err != nil {
		return err
	}
	group, mode := int(c.GID), os.FileMode(0o600)
	if h.hasTTY {
		group, mode = int(h.ttyGroup), 0o620
	}
	now, _ := info.Sys().(*syscall.Stat_t)
	if now == nil || now.Uid != c.UID || now.Gid != uint32(group) {
		if err := slave.Chown(int(c.UID), group); err != nil {
			if os.Geteuid() == 0 {
				return err
			}
			// Only root gives files to groups it is not in.
			mode = 0o600
		}
	}
	return slave.Chmod(mode)
}

func (t *terminal) childEnds() childEnds {
	return childEnds{files: []*os.File{t.slave, t.slave, t.slave}, terminal: true}
}

func (t *terminal) closeChildEnds()       { _ = t.slave.Close() }
func (t *terminal) ttyName() string       { return t.name }
func (t *terminal) say(text string)       { _, _ = io.WriteString(t.slave, text) }
func (t *terminal) stdin() io.WriteCloser { return &t.in }
func (t *terminal) close()                { _ = t.master.Close() }

func (t *terminal) output(f shell.FrameType) io.Reader {
	if f == shell.FrameStdout {
		return &t.out
	}
	return nil
}

// programEnded does not wait for output that may never come: a background job
// that holds the terminal does not hold the session.
func (t *terminal) programEnded() { t.out.cutOff() }
func (t *terminal) cutOff()       { t.out.cutOff() }

func (t *terminal) suspend(on bool) { suspendWrites(t.master, on) }

// resize sets the size; the kernel tells the foreground process group by WINCH
// when it differs.
func (t *terminal) resize(size shell.Winsize) error {
	ws := unix.Winsize{Row: size.Rows, Col: size.Cols, Xpixel: size.XPixel, Ypixel: size.YPixel}
	return t.control(func(fd int) error { return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &ws) })
}

// foreground returns the process group that a key press would signal; ok is
// false when there is none.
func (t *terminal) foreground() (pgrp int, ok bool) {
	err := t.control(func(fd int) error {
		v, err := unix.IoctlGetUint32(fd, unix.TIOCGPGRP)
		pgrp = int(v)
		return err
	})
	return pgrp, err == nil && pgrp > 1
}

// echo asks the terminal's modes by its master.
func (t *terminal) echo() (e shell.Echo) {
	_ = t.control(func(fd int) error {
		modes, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		switch {
		case err != nil:
		case modes.Lflag&unix.ECHO != 0:
			e = shell.EchoByTerminal
		case modes.Lflag&unix.ICANON == 0:
			e = shell.EchoByProgram
		}
		return err
	})
	return e
}

// control runs f on the master's descriptor, which stays open meanwhile. The
// error is f's, or os.ErrClosed.
func (t *terminal) control(f func(fd int) error) error {
	var failed error
	if t.conn == nil || t.conn.Control(func(fd uintptr) { failed = f(int(fd)) }) != nil {
		return os.ErrClosed
	}
	return failed
}
