package terminal

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// openInput opens the terminal a second time. The new description is
// non-blocking on its own, so that the runtime waits for keys with everything
// else (a read that blocks a thread made each echo 12 ms) and Close wakes a
// Read, while the shell that shares the old description notices nothing.
func openInput(in *os.File) io.ReadCloser {
	var again *os.File
	err := withFD(in, func(fd int) (err error) {
		again, err = os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", fd), os.O_RDONLY|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
		return err
	})
	if err != nil {
		// After su the terminal may belong to somebody else: read it as it is.
		return io.NopCloser(in)
	}
	return again
}
