//go:build unix

package cli

import (
	"os"

	"golang.org/x/sys/unix"
)

// poll says what a read of a pipe, a socket or a terminal would come to now.
func poll(in *os.File) inputState {
	conn, err := in.SyscallConn()
	if err != nil {
		return inputLater
	}
	var events int16
	_ = conn.Control(func(fd uintptr) {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if n, err := unix.Poll(fds, 0); err == nil && n == 1 {
			events = fds[0].Revents
		}
	})
	switch {
	case events&unix.POLLIN != 0:
		return inputReady
	case events&unix.POLLHUP != 0 && isPipe(in):
		return inputNone // every writer is gone, and left nothing
	default:
		return inputLater
	}
}

func isPipe(in *os.File) bool {
	info, err := in.Stat()
	return err == nil && info.Mode()&os.ModeNamedPipe != 0
}
