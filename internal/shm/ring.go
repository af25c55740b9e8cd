//go:build linux

package shm

import (
	"errors"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// MaxPiece is the most that a piece holds, in bytes.
	MaxPiece = 128 << 10
	// Room is what lies before a piece and behind it, in bytes, for its reader to
	// write to.
	Room = 64

	slots    = 4
	slotSize = MaxPiece + page // whole pages, and twice Room in the last one
	ringSize = page + slots*slotSize
)

// ErrPeer says that the other side broke the rules.
var ErrPeer = errors.New("the other side of a ring of memory broke its rules")

// head is the first page of the memory. Each word is written by one side, but for
// the flags, which both clear. Those that are written for each piece have a cache
// line of their own.
type head struct {
	produced atomic.Uint32 // pieces written, by the writer
	_        [60]byte
	consumed atomic.Uint32 // pieces read, by the reader
	_        [60]byte
	// readerWaits and writerWaits ask the other side to wake this one.
	readerWaits atomic.Uint32
	_           [60]byte
	writerWaits atomic.Uint32
	_           [60]byte
	sizes       [slots]atomic.Uint32 // bytes of each piece, by the writer
}

// Ring is this process's hold on the memory. [Writer] and [Reader] use it.
type Ring struct {
	mem  []byte
	refs atomic.Int32
}

// NewRing returns a ring, held once, and the file to send to the other side, which is
// the caller's to close.
func NewRing() (*Ring, *os.File, error) {
	mem, f, err := create("ring", ringSize)
	if err != nil {
		return nil, nil, err
	}
	return newRing(mem), f, nil
}

// OpenRing returns the ring of a file that was received, held once. Only a file of
// [NewRing], in a process that is trusted, has memory that stays. The file is not
// needed any more then.
func OpenRing(f *os.File) (*Ring, error) {
	mem, err := open(f, ringSize)
	if err != nil {
		return nil, err
	}
	return newRing(mem), nil
}

func newRing(mem []byte) *Ring {
	r := &Ring{mem: mem}
	r.refs.Store(1)
	return r
}

// Hold keeps the memory until the [Ring.Release] that belongs to it. It returns
// false when the memory is gone already.
func (r *Ring) Hold() bool {
	for {
		n := r.refs.Load()
		if n == 0 {
			return false
		}
		if r.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Release ends a hold. With the last one the memory goes, and every slice of it.
func (r *Ring) Release() {
	if r.refs.Add(-1) == 0 {
		_ = unix.Munmap(r.mem)
	}
}

func (r *Ring) head() *head { return (*head)(unsafe.Pointer(&r.mem[0])) }

// slot is where the piece of a number lies, with the room around it.
func (r *Ring) slot(number uint32) []byte {
	at := page + int(number%slots)*slotSize
	return r.mem[at : at+MaxPiece+2*Room : at+MaxPiece+2*Room]
}

// Writer writes pieces, from one goroutine, while the ring is held.
type Writer struct {
	Ring *Ring

	produced uint32
}

// Piece returns where the next piece goes, at most [MaxPiece] bytes. Without room it
// returns nil, and the reader will wake this side when there is some: as often as
// it likes, so that Piece is to be asked again each time.
func (w *Writer) Piece() ([]byte, error) {
	h := w.Ring.head()
	for try := 0; ; try++ {
		used := w.produced - h.consumed.Load()
		switch {
		case used > slots:
			return nil, ErrPeer
		case used < slots:
			if try > 0 {
				h.writerWaits.Store(0)
			}
			return w.Ring.slot(w.produced)[Room : Room+MaxPiece], nil
		case try > 0:
			return nil, nil
		}
		h.writerWaits.Store(1) // and look again: the reader may have been quicker
	}
}

// Commit gives the reader n bytes, which were written to the last [Writer.Piece]. It
// says whether the reader is to be woken.
func (w *Writer) Commit(n int) (wake bool) {
	h := w.Ring.head()
	h.sizes[w.produced%slots].Store(uint32(n))
	w.produced++
	h.produced.Store(w.produced)
	return h.readerWaits.Load() != 0 && h.readerWaits.Swap(0) != 0
}

// Reader reads pieces, from one goroutine, while the ring is held.
type Reader struct {
	Ring *Ring

	consumed uint32
}

// Piece returns the next piece, with [Room] bytes before it and behind it. It is
// good until [Reader.Done]. Without one it returns nil, and the writer will wake
// this side when there is one, or without a reason.
func (r *Reader) Piece() ([]byte, error) {
	h := r.Ring.head()
	for try := 0; ; try++ {
		ready := h.produced.Load() - r.consumed
		switch {
		case ready > slots:
			return nil, ErrPeer
		case ready > 0:
			if try > 0 {
				h.readerWaits.Store(0)
			}
			n := h.sizes[r.consumed%slots].Load()
			if n > MaxPiece {
				return nil, ErrPeer
			}
			return r.Ring.slot(r.consumed)[:Room+n+Room], nil
		case try > 0:
			return nil, nil
		}
		h.readerWaits.Store(1)
	}
}

// Done gives the place of the last piece back. It says whether the writer is to be
// woken: when half of the room is free again, since a writer that is woken for each
// piece costs more than the piece.
func (r *Reader) Done() (wake bool) {
	h := r.Ring.head()
	r.consumed++
	h.consumed.Store(r.consumed)
	return h.writerWaits.Load() != 0 && h.produced.Load()-r.consumed <= slots/2 && h.writerWaits.Swap(0) != 0
}
