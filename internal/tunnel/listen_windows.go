package tunnel

import (
	"errors"

	"golang.org/x/sys/windows"
)

// isAbsent says that this machine has no such address.
func isAbsent(err error) bool {
	return errors.Is(err, windows.WSAEADDRNOTAVAIL) || errors.Is(err, windows.WSAEAFNOSUPPORT)
}

// withMask does something: there is no umask.
func withMask(_ int, do func() error) error { return do() }
