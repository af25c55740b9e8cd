//go:build !linux && !darwin

package copying

import "os"

// nextData finds data everywhere.
func nextData(_ *os.File, at, size int64) (start, end int64, err error) { return at, size, nil }
