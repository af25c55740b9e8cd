//go:build unix && !linux

package terminal

import (
	"os"

	"golang.org/x/sys/unix"

	"shellagent/shell"
)

func sizeOf(f *os.File) (size shell.Winsize, err error) {
	err = withFD(f, func(fd int) error {
		ws, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ)
		if err != nil {
			return err
		}
		size = shell.Winsize{Cols: ws.Col, Rows: ws.Row, XPixel: ws.Xpixel, YPixel: ws.Ypixel}
		return nil
	})
	return size, err
}
