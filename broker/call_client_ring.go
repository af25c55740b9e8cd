package broker

import (
	"io"
	"os"
	"sync"

	"shellagent/internal/shm"
	"shellagent/shell/shellhttp"
)

// ringReceiver is the front's end of a stream in memory; see [ringSender]. It is
// read by one goroutine.
type ringReceiver struct {
	reader shm.Reader
	taken  bool   // the last piece is to be given back
	rest   []byte // what was not read of it, if that is so, with room around it
	ended  bool   // the socket was

	leave func() // gives up the connection's hold, once
}

func openRing(file *os.File) (*ringReceiver, error) {
	defer file.Close()
	memory, err := shm.OpenRing(file)
	if err != nil {
		return nil, err
	}
	return &ringReceiver{reader: shm.Reader{Ring: memory}, leave: sync.OnceFunc(memory.Release)}, nil
}

var _ shellhttp.Placed = (*clientConn)(nil)

// ringOf is the stream's ring, nil before there is one.
func (c *clientConn) ringOf() *ringReceiver { return c.ring.Load() }

// Hold says whether what is still to come of the stream is read with [clientConn.Next],
// and keeps its memory until [clientConn.Drop].
func (c *clientConn) Hold() bool {
	r := c.ringOf()
	return r != nil && r.reader.Ring.Hold()
}

// Drop ends a Hold.
func (c *clientConn) Drop() { c.ringOf().reader.Ring.Release() }

// Next returns the next piece of the stream in the memory that it came in, with
// [shellhttp.PieceRoom] bytes to write to before it and behind it, until the next
// call. The stream is held.
func (c *clientConn) Next() ([]byte, error) {
	r := c.ringOf()
	if rest := r.rest; rest != nil {
		r.rest = nil
		return rest, nil
	}
	if r.taken {
		r.taken = false
		if r.reader.Done() {
			if _, err := c.sock.Write(wakeByte); err != nil {
				return nil, err
			}
		}
	}
	for {
		piece, err := r.reader.Piece()
		switch {
		case err != nil:
			return nil, err
		case piece != nil:
			r.taken = true
			return piece[shm.Room-shellhttp.PieceRoom : len(piece)-(shm.Room-shellhttp.PieceRoom)], nil
		case r.ended:
			return nil, io.EOF
		}
		var wakes [64]byte
		if _, err := c.sock.Read(wakes[:]); err == io.EOF {
			r.ended = true // what was written before is there
		} else if err != nil {
			return nil, err
		}
	}
}

// readRing is Read for who has memory of their own.
func (c *clientConn) readRing(p []byte) (int, error) {
	if !c.Hold() {
		return 0, os.ErrClosed
	}
	defer c.Drop()
	piece, err := c.Next()
	if err != nil {
		return 0, err
	}
	n := copy(p, piece[shellhttp.PieceRoom:len(piece)-shellhttp.PieceRoom])
	if piece = piece[n:]; len(piece) > 2*shellhttp.PieceRoom {
		c.ringOf().rest = piece
	}
	return n, nil
}
