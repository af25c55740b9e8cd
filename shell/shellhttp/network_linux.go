package shellhttp

import (
	"context"
	"os"
	"syscall"
)

// Groups of rtnetlink(7) that tell of addresses; linux/rtnetlink.h.
const (
	rtmgrpLink       = 0x1
	rtmgrpIPv4Ifaddr = 0x10
	rtmgrpIPv4Route  = 0x40
	rtmgrpIPv6Ifaddr = 0x100
	rtmgrpIPv6Route  = 0x400
)

// watchAddresses calls changed whenever this machine's addresses or routes may
// have changed, until ctx is done. Where the kernel does not tell, it never does.
func watchAddresses(ctx context.Context, changed func()) {
	fd, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, syscall.NETLINK_ROUTE)
	if err != nil {
		return
	}
	f := os.NewFile(uintptr(fd), "netlink")
	defer f.Close()
	err = syscall.Bind(fd, &syscall.SockaddrNetlink{
		Family: syscall.AF_NETLINK,
		Groups: rtmgrpLink | rtmgrpIPv4Ifaddr | rtmgrpIPv4Route | rtmgrpIPv6Ifaddr | rtmgrpIPv6Route,
	})
	if err != nil {
		return
	}
	defer context.AfterFunc(ctx, func() { f.Close() })()
	// What the messages say is of no interest, that they come is. ENOBUFS means
	// that some were lost.
	buf := make([]byte, 8<<10)
	for {
		if _, err := f.Read(buf); err != nil && !isLossy(err) {
			return
		}
		changed()
	}
}

func isLossy(err error) bool {
	pathErr, ok := err.(*os.PathError)
	return ok && pathErr.Err == syscall.ENOBUFS
}
