package bulk

import (
	"io"
	"sync"
)

// size is how much is written at once, in bytes: the records of some 128 KiB.
const size = 132 << 10

var buffers = sync.Pool{New: func() any { return new([size]byte) }}

// Writer makes one write of many: crypto/tls writes each record of 16 KiB by
// itself, and each such write is a packet, an acknowledgement, and a wake-up of
// the peer. It writes to To, and between Hold and Release as seldom as it can.
// It holds no memory but then. Its methods may be used concurrently; the zero
// value with To set is ready.
type Writer struct {
	// To is what is written to. An error of it is what every later Write returns
	// that would follow on bytes which may be lost.
	To io.Writer

	mu   sync.Mutex
	held int // Holds without their Release
	buf  *[size]byte
	n    int
	err  error
}

// Hold makes Write keep what it is given until there is much of it, or until
// Release, which the caller owes.
func (w *Writer) Hold() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held++
}

// Release writes what Hold kept back.
func (w *Writer) Release() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.held--; w.held > 0 {
		return w.err
	}
	w.flush()
	if w.buf != nil {
		buffers.Put(w.buf)
		w.buf = nil
	}
	return w.err
}

// Write implements [io.Writer]. While writes are held back, the error of one may
// be told by a later one, or by Release.
func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return 0, w.err
	}
	if w.held == 0 {
		return w.To.Write(p)
	}
	if w.n+len(p) > size {
		w.flush()
	}
	if len(p) > size/2 {
		if w.err == nil {
			_, w.err = w.To.Write(p)
		}
	} else {
		if w.buf == nil {
			w.buf = buffers.Get().(*[size]byte)
		}
		w.n += copy(w.buf[w.n:], p)
	}
	if w.err != nil {
		return 0, w.err
	}
	return len(p), nil
}

// flush writes what is kept; the lock is held.
func (w *Writer) flush() {
	if w.n > 0 && w.err == nil {
		_, w.err = w.To.Write(w.buf[:w.n])
	}
	w.n = 0
}
