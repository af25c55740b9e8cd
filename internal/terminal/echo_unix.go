//go:build linux || darwin

package terminal

import "golang.org/x/sys/unix"

// hideTyping turns echo off for lines.
func hideTyping(fd int) error {
	m, err := unix.IoctlGetTermios(fd, getTermios)
	if err != nil {
		return err
	}
	m.Lflag &^= unix.ECHO
	m.Lflag |= unix.ICANON | unix.ISIG
	m.Iflag |= unix.ICRNL
	return unix.IoctlSetTermios(fd, setTermios, m)
}
