package broker

import (
	"io"

	"golang.org/x/sys/unix"

	"shellagent/internal/shm"
)

const (
	// ringAfter is how much a stream has brought, in bytes, when it is worth memory
	// that the front has as well.
	ringAfter = 1 << 20
	// maxRings bounds that memory: 64 of 532 KiB. Streams beyond go over the socket.
	maxRings = 64
)

// wakeByte is what is sent to wake the other side.
var wakeByte = []byte{0}

// rings are the streams of this process that have a ring.
var rings = newCrowd[struct{}](maxRings, maxRings)

// ringSender is the broker's end of a stream in memory. From the byte on that brings
// the memory's file, which is no data, bytes on the socket only wake the other side.
type ringSender struct {
	writer shm.Writer
	woken  chan struct{}
}

// wake has the sender look again.
func (r *ringSender) wake() {
	select {
	case r.woken <- struct{}{}:
	default:
	}
}

// bulk are streams that may say that they are much, and end when they have been.
type bulk interface{ Bulk() bool }

// beginRing sends the front a ring. It returns false, with nothing done, where there
// is none to be had.
func (s *callServer) beginRing() bool {
	if !rings.enter(struct{}{}) {
		return false
	}
	memory, file, err := shm.NewRing()
	if err != nil {
		rings.leave(struct{}{})
		return false
	}
	defer file.Close()
	r := &ringSender{writer: shm.Writer{Ring: memory}, woken: make(chan struct{}, 1)}
	s.ring.Store(r) // before the front can have it
	if _, _, err := s.unix.WriteMsgUnix(wakeByte, unix.UnixRights(int(file.Fd())), nil); err != nil {
		s.endRing()
		s.conn.Close()
		return false
	}
	return true
}

func (s *callServer) endRing() {
	s.ring.Load().writer.Ring.Release()
	rings.leave(struct{}{})
}

// copyRing passes frames on through memory until the stream or the connection ends.
func (s *callServer) copyRing(frames io.Reader) {
	defer s.endRing()
	r := s.ring.Load()
	for {
		room, err := r.writer.Piece()
		if err != nil {
			return
		}
		if room == nil {
			select {
			case <-r.woken:
			case <-s.ctx.Context.Done():
				return
			}
			continue
		}
		n, err := frames.Read(room)
		if n > 0 && r.writer.Commit(n) && !s.wakeFront() {
			return
		}
		if err != nil {
			return
		}
	}
}

// wakeFront has the front look again. A front that has many such bytes yet to read
// holds up its own stream, until it has read the ring empty and waits.
func (s *callServer) wakeFront() bool {
	_, err := s.conn.Write(wakeByte)
	return err == nil
}
