package shellhttp

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/klauspost/compress/zstd"
)

const (
	// codingZstd is the content coding of RFC 8878.
	codingZstd = "zstd"
	// zstdWindow is how far back a stream's compression looks, in bytes, and what
	// a client gives it.
	zstdWindow = 256 << 10
)

// wantsZstd says whether a request asks for a compressed stream: its one
// Accept-Encoding names zstd and nothing else. Browsers and other clients name
// it among others, without anybody's having asked: whoever can put text into a
// session's output and see its size would guess what else is in it.
func wantsZstd(h http.Header) bool {
	v := h["Accept-Encoding"]
	return len(v) == 1 && strings.TrimSpace(v[0]) == codingZstd
}

// deflater compresses a stream on its way to out. What is flushed can be read
// at the other end; nothing of one stream is in another.
type deflater struct {
	out flushWriter
	enc *zstd.Encoder
}

var _ flushWriter = (*deflater)(nil)

func newDeflater(out flushWriter) (*deflater, error) {
	enc, err := zstd.NewWriter(out,
		zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithWindowSize(zstdWindow), zstd.WithEncoderConcurrency(1),
		zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(false))
	if err != nil {
		return nil, fmt.Errorf("compress a stream: %w", err)
	}
	return &deflater{out: out, enc: enc}, nil
}

func (d *deflater) Write(p []byte) (int, error) { return d.enc.Write(p) }

func (d *deflater) Flush() error {
	if err := d.enc.Flush(); err != nil {
		return err
	}
	return d.out.Flush()
}

// end completes the stream.
func (d *deflater) end() error {
	if err := d.enc.Close(); err != nil {
		return err
	}
	return d.out.Flush()
}

// inflater reads a compressed stream, in memory that does not depend on what it
// says: its window is bounded, and what it unfolds to is read piece by piece.
type inflater struct {
	src *cutReader
	dec *zstd.Decoder
}

func newInflater(r io.Reader) (*inflater, error) {
	f := &inflater{src: &cutReader{r: r}}
	dec, err := zstd.NewReader(f.src, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(zstdWindow))
	if err != nil {
		return nil, fmt.Errorf("read a compressed stream: %w", err)
	}
	f.dec = dec
	return f, nil
}

// Read implements [io.Reader]. An end within a frame is io.ErrUnexpectedEOF,
// what is not zstd a *formatError.
func (f *inflater) Read(p []byte) (int, error) {
	n, err := f.dec.Read(p)
	if err == nil || err == io.EOF {
		return n, err
	}
	switch cut := f.src.err; {
	case cut == nil:
		err = &formatError{fmt.Errorf("zstd: %w", err)}
	case cut == io.EOF:
		err = io.ErrUnexpectedEOF
	default:
		err = cut
	}
	return n, err
}

var errCoding = errors.New("the answer has a content coding that was not asked for")

// plainBody is the body of an answer without its content coding; asked says
// whether zstd may be one.
func plainBody(h http.Header, body io.Reader, asked bool) (io.Reader, error) {
	switch coding := h.Get("Content-Encoding"); {
	case coding == "":
		return body, nil
	case coding == codingZstd && asked:
		return newInflater(body)
	default:
		return nil, fmt.Errorf("%w: %.20q", errCoding, coding)
	}
}
