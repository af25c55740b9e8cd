package terminal

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"shellagent/shell"
)

// sizeOf is asked with every key, so the scheduler is not told; see package rawio.
func sizeOf(f *os.File) (size shell.Winsize, err error) {
	err = withFD(f, func(fd int) error {
		var ws unix.Winsize
		if _, _, errno := unix.RawSyscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCGWINSZ, uintptr(unsafe.Pointer(&ws))); errno != 0 {
			return errno
		}
		size = shell.Winsize{Cols: ws.Col, Rows: ws.Row, XPixel: ws.Xpixel, YPixel: ws.Ypixel}
		return nil
	})
	return size, err
}
