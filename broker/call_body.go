package broker

import (
	"context"
	"io"
	"sync"

	"shellagent/internal/rawio"
	"shellagent/shell"
)

// callBody is the broker's side of a call's body. It belongs to the answering
// goroutine.
type callBody struct {
	server  *callServer
	rest    []byte // what came with the header
	left    int    // bytes not yet read
	large   bool   // the body waits to be asked for
	started bool   // it was asked for
	placed  []byte // what is left of it, if it lies in memory
}

var _ io.Reader = (*callBody)(nil)

// Read asks the front for a large body when it is called first. A body that
// the front cuts short is io.ErrUnexpectedEOF.
func (b *callBody) Read(p []byte) (int, error) {
	switch {
	case b.left == 0:
		return 0, io.EOF
	case len(p) == 0:
		return 0, nil
	case !b.large:
		n := copy(p, b.rest)
		b.rest = b.rest[n:]
		b.left -= n
		return n, nil
	}
	var n int
	var err error
	if !b.started {
		err = b.ask()
	}
	switch {
	case err != nil:
	case b.placed != nil:
		n = copy(p, b.placed)
		b.placed = b.placed[n:]
	default:
		n, err = b.server.conn.Read(p[:min(len(p), b.left)])
	}
	b.left -= n
	if b.left == 0 {
		b.finish()
		return n, nil
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// finish gives the reading side back, once.
func (b *callBody) finish() {
	if !b.large {
		return
	}
	b.large = false
	if !b.started || b.placed != nil {
		b.left = 0 // there is nothing of it on the connection
	}
	b.placed = nil
	b.server.release(b.left)
}

// streamBuffers hold frames on their way to the front while there are any, and large
// bodies on their way from it.
var streamBuffers = sync.Pool{New: func() any { b := make([]byte, 64<<10); return &b }}

// copyStream passes frames on until the session's stream or the connection
// ends. Write has no deadline: a front that does not read holds this goroutine
// and its buffer, and nothing else, until its connection or process is closed.
func (s *callServer) copyStream(r io.ReadCloser) {
	s.leavePlace()
	stop := context.AfterFunc(s.ctx, func() { r.Close() })
	defer func() {
		if stop() {
			r.Close()
		}
	}()
	if w, ok := r.(io.WriterTo); ok {
		_, _ = w.WriteTo(s.conn)
		return
	}
	s.out, s.inline = nil, nil
	var room streamRoom
	defer room.Rest()
	frames, lends := r.(*frameReader)
	if lends {
		frames.prompt(s.writePrompt)
		frames.lend(&room)
	}
	b, ok := r.(bulk)
	much, sent := ok && b.Bulk(), 0
	for {
		n, err := r.Read(room.Take())
		if sent += n; n > 0 {
			// Taken anew: it may be other memory than before a wait.
			if _, err := s.conn.Write(room.Take()[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
		if much && sent >= ringAfter {
			if much = false; s.beginRing() {
				if lends {
					frames.lend(nil)
				}
				room.Rest()
				s.copyRing(r)
				return
			}
		}
	}
}

// streamRoom is one of streamBuffers while it is needed. Its zero value has none yet.
type streamRoom struct{ borrowed *[]byte }

var _ shell.Room = (*streamRoom)(nil)

// Take implements [shell.Room].
func (r *streamRoom) Take() []byte {
	if r.borrowed == nil {
		r.borrowed = streamBuffers.Get().(*[]byte)
	}
	return *r.borrowed
}

// Rest implements [shell.Room].
func (r *streamRoom) Rest() {
	if r.borrowed != nil {
		streamBuffers.Put(r.borrowed)
		r.borrowed = nil
	}
}

// writePrompt writes a frame if that needs no waiting. A connection that takes a
// part of one is at its end: its client comes back for the rest.
func (s *callServer) writePrompt(frame []byte) bool {
	c, ok := s.conn.(*rawio.Conn)
	if !ok || s.ring.Load() != nil {
		return false
	}
	n, err := c.TryWrite(frame)
	if n > 0 && n < len(frame) {
		s.conn.Close() // now: what followed a part would be read as the rest of it
		s.cancel()
	}
	return n > 0 && err == nil
}
