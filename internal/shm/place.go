//go:build linux

package shm

import (
	"os"

	"golang.org/x/sys/unix"
)

// PlaceSize is what a [Place] holds, in bytes: 512 KiB and what may stand before them.
const PlaceSize = 512<<10 + page

// Place is memory for one message at a time. Who writes it and when it is read, the
// two sides tell each other.
type Place struct{ mem []byte }

// NewPlace returns a place and the file to send to the other side, which is the
// caller's to close.
func NewPlace() (*Place, *os.File, error) {
	mem, f, err := create("place", PlaceSize)
	if err != nil {
		return nil, nil, err
	}
	return &Place{mem}, f, nil
}

// OpenPlace returns the place of a file that was received, as [OpenRing] does a ring.
func OpenPlace(f *os.File) (*Place, error) {
	mem, err := open(f, PlaceSize)
	if err != nil {
		return nil, err
	}
	return &Place{mem}, nil
}

// Bytes is the place, of [PlaceSize] bytes. The other side may write to it at any time.
func (p *Place) Bytes() []byte { return p.mem }

// Close gives up this side's hold on the memory; nobody may have its bytes any more.
func (p *Place) Close() { _ = unix.Munmap(p.mem) }
