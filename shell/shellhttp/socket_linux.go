package shellhttp

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"shellagent/internal/rawio"
)

// tcpNotSentLowat is TCP_NOTSENT_LOWAT of linux/tcp.h; see tcp(7).
const tcpNotSentLowat = 25

// setNotSentLowat makes a connection unwritable while n bytes wait unsent.
// An error costs promptness only.
func setNotSentLowat(c syscall.Conn, n int) {
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) {
		syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpNotSentLowat, n)
	})
}

// roundTripOf is the shortest round trip that a connection has seen; 0 when that
// is not known.
func roundTripOf(c syscall.Conn) (d time.Duration) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0
	}
	raw.Control(func(fd uintptr) {
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			d = time.Duration(info.Min_rtt) * time.Microsecond
		}
	})
	return d
}

// setSendBuffer bounds what a connection may have on its way; n bytes, which the
// kernel doubles for its own needs (socket(7)).
func setSendBuffer(c syscall.Conn, n int) {
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) {
		syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF, n)
	})
}

// awaitReadable returns when a read of a connection would not block. Nothing else
// may read from it meanwhile.
func awaitReadable(c syscall.Conn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Read(rawio.Readable)
}
