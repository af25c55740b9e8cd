package rawio

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// OpenAgain opens the terminal or pipe that f is a second time, to be read or written
// (os.O_RDONLY, os.O_WRONLY), so that it does not block: whoever shares the first
// description, as the shell that started this program does, notices nothing. It fails
// where f belongs to somebody else, as after su, and for a socket.
func OpenAgain(f *os.File, how int) (again *os.File, err error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	failed := raw.Control(func(fd uintptr) {
		again, err = os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", fd), how|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	})
	if failed != nil {
		return nil, failed
	}
	return again, err
}
