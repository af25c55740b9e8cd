//go:build unix

package terminal

import (
	"os"

	"golang.org/x/sys/unix"
)

// openConsole opens the controlling terminal in blocking mode: a line is read
// by a thread of its own, and kqueue does not watch /dev/tty.
func openConsole() (in, out *os.File, err error) {
	fd, err := unix.Open("/dev/tty", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, &os.PathError{Op: "open", Path: "/dev/tty", Err: err}
	}
	f := os.NewFile(uintptr(fd), "/dev/tty")
	return f, f, nil
}
