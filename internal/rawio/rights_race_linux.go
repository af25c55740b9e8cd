//go:build race

package rawio

import (
	"golang.org/x/sys/unix"
)

// receive is as without the race detector, which only syscall.Read tells of what was
// received: what brings no file is read by that.
func receive(fd uintptr, p, oob []byte) (n, file int, done bool, err error) {
	n, k, _, _, err := unix.Recvmsg(int(fd), p, oob, unix.MSG_CMSG_CLOEXEC|unix.MSG_PEEK)
	if n, done, err = outcome("recvmsg", n, err); !done || err != nil || n == 0 {
		return n, -1, done, err
	}
	if file = rightsOf(oob[:k]); file >= 0 {
		unix.Close(file)
		n, k, _, _, err = unix.Recvmsg(int(fd), p[:n], oob, unix.MSG_CMSG_CLOEXEC)
		n, done, err = outcome("recvmsg", n, err)
		return n, rightsOf(oob[:k]), done, err
	}
	n, done, err = read(fd, p[:n])
	return n, -1, done, err
}
