package shellhttp

import (
	"bufio"
	"errors"
	"io"

	"shellagent/shell"
)

// frameReader yields the frames of a stream in one encoding. The data of a
// frame is valid until the next call. io.EOF means that the stream ended
// between frames; a *formatError that what arrived is not of this protocol;
// anything else that the stream was cut.
type frameReader interface {
	next() (shell.Frame, error)
	// leave makes the last frame's data valid for good.
	leave()
}

var (
	_ frameReader = (*eventReader)(nil)
	_ frameReader = (*binaryReader)(nil)
)

// binaryReader yields the frames of the binary encoding.
type binaryReader struct {
	r   *bufio.Reader
	buf []byte
}

func newBinaryReader(r io.Reader) *binaryReader {
	return &binaryReader{r: bufio.NewReaderSize(r, 4<<10), buf: make([]byte, 4<<10)}
}

func (b *binaryReader) next() (shell.Frame, error) {
	f, err := shell.ReadFrame(b.r, b.buf)
	if errors.Is(err, shell.ErrFrameInvalid) || errors.Is(err, shell.ErrFrameTooLarge) {
		return f, &formatError{err}
	}
	if cap(f.Data) > cap(b.buf) {
		b.buf = f.Data[:cap(f.Data)]
	}
	return f, err
}

func (b *binaryReader) leave() { b.buf = make([]byte, cap(b.buf)) }
