//go:build linux && !race

package rawio

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

const supported = true

// read reads once. It is not done when there is nothing to be read now.
func read(fd uintptr, p []byte) (n int, done bool, err error) {
	return once(unix.SYS_READ, "read", fd, p)
}

// TryWrite writes p, which is not empty, or a part of it. It is not done when
// there is no room now.
func TryWrite(fd uintptr, p []byte) (n int, done bool, err error) {
	return once(unix.SYS_WRITE, "write", fd, p)
}

func once(call uintptr, name string, fd uintptr, p []byte) (n int, done bool, err error) {
	for {
		m, _, errno := unix.RawSyscall(call, fd, uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
		switch errno {
		case 0:
			return int(m), true, nil
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, false, nil
		default:
			return 0, true, os.NewSyscallError(name, errno)
		}
	}
}

// Readable says whether a read would not block.
func Readable(fd uintptr) bool {
	fds := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	var at unix.Timespec
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&fds[0])), 1, uintptr(unsafe.Pointer(&at)), 0, 0, 0)
		if errno != unix.EINTR {
			return errno != 0 || n > 0
		}
	}
}
