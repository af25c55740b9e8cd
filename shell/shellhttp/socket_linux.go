package shellhttp

import "syscall"

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
