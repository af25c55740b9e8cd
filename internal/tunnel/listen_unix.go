//go:build unix

package tunnel

import (
	"errors"
	"sync"

	"golang.org/x/sys/unix"
)

// isAbsent says that this machine has no such address.
func isAbsent(err error) bool {
	return errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.EAFNOSUPPORT)
}

// masking keeps one use of the process's umask from another.
var masking sync.Mutex

// withMask does something with another umask, so that what it makes has its mode
// from the start.
func withMask(mask int, do func() error) error {
	masking.Lock()
	defer masking.Unlock()
	defer unix.Umask(unix.Umask(mask))
	return do()
}
