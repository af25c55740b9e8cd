package shellhttp

import (
	"errors"
	"fmt"
	"io"

	"shellagent/shell"
)

// encodeEvents turns frames into events. Output that does not fit one event
// becomes several, each with the offset at its own end. Everything encoded is
// flushed before a read that may wait.
func encodeEvents(w flushWriter, frames io.Reader) error {
	e := &eventWriter{w: w}
	defer e.release()
	src := &pieceReader{r: frames, idle: e.flush}
	defer src.release()
	for {
		f, err := src.next()
		if err == io.EOF {
			return e.flush()
		}
		if err != nil {
			return errors.Join(err, e.flush())
		}
		if err := e.add(f); err != nil {
			return err
		}
	}
}

// eventWriter gathers encoded events.
type eventWriter struct {
	w   flushWriter
	buf *[busyBuffer]byte
	n   int
}

func (e *eventWriter) add(f shell.Frame) error {
	if e.n+eventSize(len(f.Data)) > busyBuffer {
		if err := e.write(); err != nil {
			return err
		}
	}
	if e.buf == nil {
		e.buf = busy.Get().(*[busyBuffer]byte)
	}
	b, err := appendEvent(e.buf[:e.n], f)
	e.n = len(b)
	return err
}

func (e *eventWriter) write() error {
	if e.n == 0 {
		return nil
	}
	_, err := e.w.Write(e.buf[:e.n])
	e.n = 0
	return err
}

func (e *eventWriter) flush() error {
	if e.buf == nil {
		return nil
	}
	err := e.write()
	e.release()
	if err != nil {
		return err
	}
	return e.w.Flush()
}

func (e *eventWriter) release() {
	if e.buf != nil {
		busy.Put(e.buf)
		e.buf, e.n = nil, 0
	}
}

// pieceReader reads frames in pieces of at most maxEventData.
type pieceReader struct {
	r      io.Reader
	idle   func() error // called before every read, which may wait
	small  [idleBuffer]byte
	big    *[busyBuffer]byte
	lo, hi int

	t    shell.FrameType
	left int // bytes of the frame still to come
	end  uint64
}

// next returns the next frame, or a piece of output with the offset at its
// end. io.EOF means that the stream ended between frames.
func (p *pieceReader) next() (shell.Frame, error) {
	if p.left == 0 {
		h, err := p.take(shell.FrameHeaderSize)
		if err != nil {
			return shell.Frame{}, err
		}
		if p.t, p.left, p.end, err = shell.DecodeFrameHeader(h); err != nil {
			return shell.Frame{}, err
		}
		if p.left > maxEventData && !isOutput(p.t) {
			return shell.Frame{}, fmt.Errorf("%w: %s of %d bytes", errEventData, p.t, p.left)
		}
	}
	n := min(p.left, maxEventData)
	data, err := p.take(n)
	if err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return shell.Frame{}, err
	}
	p.left -= n
	return shell.Frame{Type: p.t, End: p.end - uint64(p.left), Data: data}, nil
}

func isOutput(t shell.FrameType) bool { return t == shell.FrameStdout || t == shell.FrameStderr }

// take returns the next n bytes, valid until it is called again.
func (p *pieceReader) take(n int) ([]byte, error) {
	for p.hi-p.lo < n {
		if err := p.fill(n); err != nil {
			return nil, err
		}
	}
	b := p.buf()[p.lo : p.lo+n]
	p.lo += n
	return b, nil
}

func (p *pieceReader) buf() []byte {
	if p.big != nil {
		return p.big[:]
	}
	return p.small[:]
}

// fill makes room for n bytes in all and reads once.
func (p *pieceReader) fill(n int) error {
	if p.lo == p.hi {
		p.release()
	}
	if p.hi == len(p.small) && p.big == nil || n > len(p.buf()) {
		big := busy.Get().(*[busyBuffer]byte)
		p.hi = copy(big[:], p.small[p.lo:p.hi])
		p.lo, p.big = 0, big
	}
	if p.lo > 0 {
		p.hi = copy(p.buf(), p.buf()[p.lo:p.hi])
		p.lo = 0
	}
	if err := p.idle(); err != nil {
		return err
	}
	m, err := p.r.Read(p.buf()[p.hi:])
	p.hi += m
	if m > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	if err == io.EOF && p.lo < p.hi {
		err = io.ErrUnexpectedEOF
	}
	return err
}

func (p *pieceReader) release() {
	p.lo, p.hi = 0, 0
	if p.big != nil {
		busy.Put(p.big)
		p.big = nil
	}
}
