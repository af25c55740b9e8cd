//go:build !linux

package rawio

import "errors"

const supported = false

func read(uintptr, []byte) (int, bool, error) { return 0, true, errors.ErrUnsupported }

// TryWrite is for Linux alone.
func TryWrite(uintptr, []byte) (int, bool, error) { return 0, true, errors.ErrUnsupported }
