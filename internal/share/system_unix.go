//go:build linux || darwin

package share

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Supported says that connections can be shared on this system.
const Supported = true

func isOwn(info fs.FileInfo) bool {
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(s.Uid) == os.Geteuid()
}

// checkPeer fails unless the other end of a socket is a process of this user.
func checkPeer(c *net.UnixConn) (pid int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	uid := -1
	var inner error
	if err := raw.Control(func(fd uintptr) { uid, pid, inner = peerOf(int(fd)) }); err != nil {
		return 0, err
	}
	if inner != nil {
		return 0, fmt.Errorf("who is at the other end of the shared connection: %w", inner)
	}
	if uid != os.Geteuid() {
		return 0, fmt.Errorf("the shared connection's other end is user %d: %w", uid, ErrUnsafe)
	}
	return pid, nil
}

// lockPause is how long somebody else's start is waited for before it is looked at again.
const lockPause = 10 * time.Millisecond

// lock returns the file whose lock lets its holders, who may be several
// processes with the same open file, put a socket into a place or take it away.
func (p Place) acquire(ctx context.Context) (*os.File, error) {
	f, err := os.OpenFile(p.lock(), os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(lockPause)
	defer tick.Stop()
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", p.lock(), err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			f.Close()
			return nil, context.Cause(ctx)
		}
	}
}

// isAbsent says that nobody listens at a place.
func isAbsent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)
}

// isLeft says that the other side went away.
func isLeft(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
}
