//go:build !linux

package rawio

import (
	"errors"
	"os"
)

const supported = false

func read(uintptr, []byte) (int, bool, error) { return 0, true, errors.ErrUnsupported }

// TryWrite is for Linux alone.
func TryWrite(uintptr, []byte) (int, bool, error) { return 0, true, errors.ErrUnsupported }

// OpenAgain is for Linux alone.
func OpenAgain(*os.File, int) (*os.File, error) { return nil, errors.ErrUnsupported }
