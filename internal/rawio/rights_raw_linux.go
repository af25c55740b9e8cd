//go:build !race

package rawio

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// receive receives once, with oob for what is no data. It is not done when there is
// nothing now.
func receive(fd uintptr, p, oob []byte) (n, file int, done bool, err error) {
	data := unix.Iovec{Base: &p[0]}
	data.SetLen(len(p))
	m := unix.Msghdr{Iov: &data, Control: &oob[0]}
	m.SetIovlen(1)
	for {
		m.SetControllen(len(oob))
		k, _, errno := unix.RawSyscall(unix.SYS_RECVMSG, fd, uintptr(unsafe.Pointer(&m)), unix.MSG_CMSG_CLOEXEC)
		switch errno {
		case 0:
			if m.Controllen == 0 {
				return int(k), -1, true, nil
			}
			return int(k), rightsOf(oob[:m.Controllen]), true, nil
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, -1, false, nil
		default:
			return 0, -1, true, os.NewSyscallError("recvmsg", errno)
		}
	}
}
