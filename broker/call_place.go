package broker

import (
	"io"

	"golang.org/x/sys/unix"

	"shellagent/internal/shm"
)

const (
	// placeFrom is the body, in bytes, that is worth memory which the front has as
	// well, on a connection that has none yet.
	placeFrom = 128 << 10
	// maxPlaces bounds that memory: 32 of 516 KiB. More bodies at a time go over the
	// socket, which costs more and no worse. A connection has its place also while its
	// call waits, so that whoever has a key can have all of them.
	maxPlaces = 32
)

// places are the connections of this process that have a place.
var places = newCrowd[struct{}](maxPlaces, maxPlaces)

// bodyPlaced is what the front sends when a body is where it was asked to be.
var bodyPlaced = []byte{0}

// ask has the front bring a large body: into memory, where it lies in one piece when
// ask returns, or over the socket.
func (b *callBody) ask() error {
	b.started = true
	s := b.server
	brought, err := s.askPlace(b.left)
	if err != nil {
		return err
	}
	if !brought {
		_, err := s.conn.Write([]byte{answerGoOn})
		return err
	}
	var placed [1]byte
	if _, err := io.ReadFull(s.conn, placed[:]); err != nil {
		return err
	}
	b.placed = s.place.Bytes()[:b.left]
	return nil
}

// askPlace has the front put a body of n bytes into the connection's place, and makes
// one if that is worth it. It returns false, with nothing done, where there is none.
func (s *callServer) askPlace(n int) (bool, error) {
	switch {
	case n > shm.PlaceSize || s.place == nil && n < placeFrom:
		return false, nil
	case s.place != nil:
		_, err := s.conn.Write([]byte{answerPlace})
		return true, err
	case !places.enter(struct{}{}):
		return false, nil
	}
	place, file, err := shm.NewPlace()
	if err != nil {
		places.leave(struct{}{})
		return false, nil
	}
	defer file.Close()
	s.place = place
	_, _, err = s.unix.WriteMsgUnix([]byte{answerPlace}, unix.UnixRights(int(file.Fd())), nil)
	return true, err
}

// leavePlace gives up the connection's place, if it has one.
func (s *callServer) leavePlace() {
	if s.place != nil {
		s.place.Close()
		s.place = nil
		places.leave(struct{}{})
	}
}
