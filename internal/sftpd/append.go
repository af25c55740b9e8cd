package sftpd

import (
	"os"
	"sync"
	"time"
)

// appending writes to the end of a file, whatever the offsets. They tell the
// order all the same, in which writes need not come here: package sftp has
// several workers. Clients count from the file's size, as OpenSSH's, or from 0.
type appending struct {
	*os.File
	size int64 // when it was opened
	// patience is how long a write waits for what belongs before it.
	patience time.Duration

	mu    sync.Mutex
	turn  sync.Cond
	begun bool
	next  int64
}

// outOfTurn is an appending's patience. A client that leaves gaps gets no better
// order than it asked for.
const outOfTurn = time.Second

func newAppending(f *os.File) (*appending, error) {
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	a := &appending{File: f, size: info.Size(), patience: outOfTurn}
	a.turn.L = &a.mu
	return a, nil
}

// WriteAt implements [io.WriterAt].
func (a *appending) WriteAt(p []byte, offset int64) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.isNext(offset) {
		began := time.Now()
		defer time.AfterFunc(a.patience, a.turn.Broadcast).Stop()
		for !a.isNext(offset) && time.Since(began) < a.patience {
			a.turn.Wait()
		}
	}
	n, err := a.Write(p)
	a.begun, a.next = true, max(a.next, offset+int64(n))
	a.turn.Broadcast()
	return n, err
}

func (a *appending) isNext(offset int64) bool {
	if !a.begun {
		return offset == 0 || offset == a.size
	}
	return offset <= a.next
}
