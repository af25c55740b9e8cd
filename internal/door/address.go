package door

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Name is the socket's name in the state directory.
const Name = "door"

// maxAddress is what fits into a socket's address (unix(7)), with a zero byte.
const maxAddress = 107

// address returns a path of the socket that is short enough for the kernel. It
// is good until done is called.
func address(dir string) (path string, done func(), err error) {
	path = filepath.Join(dir, Name)
	if len(path) <= maxAddress {
		return path, func() {}, nil
	}
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", nil, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", fd, Name), func() { unix.Close(fd) }, nil
}
