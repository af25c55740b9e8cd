//go:build unix && !linux

package terminal

import (
	"io"
	"os"
)

// openInput returns the terminal itself: elsewhere than on Linux opening
// /dev/fd again shares the description, and kqueue does not watch /dev/tty.
func openInput(in *os.File) io.ReadCloser { return io.NopCloser(in) }
