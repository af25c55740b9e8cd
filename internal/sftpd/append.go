package sftpd

import (
	"os"
	"sync"
)

// appending writes to the end of a file, in the order of the offsets: each is
// where the write before it ended, and the first is 0, as the gate numbers them.
// Package sftp's workers, which take writes in their order, end them in any.
type appending struct {
	*os.File

	mu   sync.Mutex
	turn sync.Cond
	next int64
}

func newAppending(f *os.File) *appending {
	a := &appending{File: f}
	a.turn.L = &a.mu
	return a
}

// WriteAt implements [io.WriterAt]. What belongs after a write that failed is
// written all the same.
func (a *appending) WriteAt(p []byte, offset int64) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.next < offset {
		a.turn.Wait()
	}
	n, err := a.Write(p)
	a.next = offset + int64(len(p))
	a.turn.Broadcast()
	return n, err
}
