package bulk

import (
	"io"
	"syscall"
	"time"
)

const (
	// much is the size of a read, in bytes, after which the next one waits in the
	// kernel.
	much = 8 << 10
	// patience is how long it waits there.
	patience = 2 * time.Millisecond
)

// Reader reads From. While there is much to read, the thread waits for more by
// itself, for a moment: what parks a goroutine and wakes it costs more than the
// read. The thread waits with its processor, and nobody may look meanwhile whether
// other goroutines have something to read, for up to 10 ms while much comes: see
// Shared. It is for one goroutine at a time.
type Reader struct {
	From io.Reader
	// Raw is the descriptor of From.
	Raw syscall.RawConn
	// Shared says that the program does more than read this, and must do it in
	// time: nothing waits in the kernel. It may be changed between reads.
	Shared bool

	busy bool
	full bool // the last read filled its buffer: there is more, most likely
	wait func(fd uintptr) bool
}

// Read implements [io.Reader].
func (r *Reader) Read(p []byte) (int, error) {
	if r.busy && !r.full && !r.Shared {
		if r.wait == nil {
			r.wait = func(fd uintptr) bool {
				r.busy = awaitReadable(fd, patience)
				return true
			}
		}
		if err := r.Raw.Read(r.wait); err != nil {
			r.busy = false
		}
	}
	n, err := r.From.Read(p)
	r.busy = n >= much || r.busy && n > 0
	r.full = n == len(p)
	return n, err
}
