package bulk

import (
	"time"

	"golang.org/x/sys/unix"
)

// awaitReadable waits until a read of fd would not block, or for d.
func awaitReadable(fd uintptr, d time.Duration) bool {
	fds := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	ts := unix.NsecToTimespec(int64(d))
	n, err := unix.Ppoll(fds[:], &ts, nil)
	return err == nil && n > 0
}

// setPipeSize asks for a pipe that holds n bytes. Who may not have it has the
// pipe as it was.
func setPipeSize(fd uintptr, n int) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, n) }
