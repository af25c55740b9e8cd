//go:build linux && race

package rawio

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// The race detector takes bytes that were sent for what their reader waited for,
// and only package syscall tells it of them.

const supported = true

func read(fd uintptr, p []byte) (n int, done bool, err error) {
	n, err = syscall.Read(int(fd), p)
	return outcome("read", n, err)
}

// TryWrite writes p, which is not empty, or a part of it. It is not done when
// there is no room now.
func TryWrite(fd uintptr, p []byte) (n int, done bool, err error) {
	n, err = syscall.Write(int(fd), p)
	return outcome("write", n, err)
}

func outcome(name string, n int, err error) (int, bool, error) {
	switch {
	case err == nil:
		return n, true, nil
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return 0, false, nil
	default:
		return 0, true, os.NewSyscallError(name, err)
	}
}

// Readable says whether a read would not block.
func Readable(fd uintptr) bool {
	fds := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds[:], 0)
		if !errors.Is(err, unix.EINTR) {
			return err != nil || n > 0
		}
	}
}
