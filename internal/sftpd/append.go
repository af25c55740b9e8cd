package sftpd

import (
	"encoding/binary"
	"os"
	"sync"
	"syscall"
)

const (
	// maxHandle bounds a handle (draft-ietf-secsh-filexfer-02 §4).
	maxHandle = 256
	// appends is the open flag SSH_FXF_APPEND (§6.3).
	appends = 4
)

// number gives a write that appends the offset of its place among those that do:
// package sftp's workers take them as they like. Clients' own offsets count from
// the file's size or from 0, and do not say which.
func (g *gate) number() error {
	const id, offset, length = 4, 8, 4 // their sizes
	b, err := g.in.Peek(min(id+4, g.left))
	if err != nil {
		return cutShort(1, err)
	}
	if len(b) < id+4 {
		return nil // which package sftp refuses
	}
	n := int(min(binary.BigEndian.Uint32(b[id:]), maxHandle+1))
	whole := id + 4 + n + offset + length
	if n > maxHandle || g.left < whole {
		return nil
	}
	if b, err = g.in.Peek(whole); err != nil {
		return cutShort(1, err)
	}
	g.mu.Lock()
	f := g.files[string(b[id+4:id+4+n])]
	g.mu.Unlock()
	if f == nil {
		return g.unknown(binary.BigEndian.Uint32(b))
	}
	data := binary.BigEndian.Uint32(b[whole-length:])
	if !f.appends || int64(data) > int64(g.left-whole) {
		return nil
	}
	g.pending = append(g.pending, b...)
	binary.BigEndian.PutUint64(g.pending[len(g.pending)-offset-length:], f.next)
	f.next += uint64(data)
	g.left -= whole
	_, err = g.in.Discard(whole)
	return err
}

// unknown refuses a write to what was not opened, or not answered yet: package
// sftp might know it, and would have it written without a number.
func (g *gate) unknown(id uint32) error {
	left := g.left
	g.pending, g.left = nil, 0
	if _, err := g.in.Discard(left); err != nil {
		return cutShort(1, err)
	}
	return g.send(status(id, syscall.EBADF))
}

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
