//go:build linux || darwin

package copying

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// nextData finds where there is data at or behind an offset, and where that ends.
// A file system that knows no holes has data everywhere.
func nextData(f *os.File, at, size int64) (start, end int64, err error) {
	start, err = f.Seek(at, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO):
		return size, size, nil
	case errors.Is(err, unix.EINVAL):
		return at, size, nil
	case err != nil:
		return 0, 0, err
	case start >= size:
		return size, size, nil
	}
	if end, err = f.Seek(start, unix.SEEK_HOLE); err != nil {
		return 0, 0, err
	}
	// A file that changes may say anything.
	if start < at || end <= start {
		return at, size, nil
	}
	return start, min(end, size), nil
}
