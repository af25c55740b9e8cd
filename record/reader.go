package record

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"

	"shellagent/jwtauth"
	"shellagent/seal"
)

// Damage is where a recording stops being what was written.
type Damage struct {
	// Segment is the number of the first segment that does not hold, from 1; 0
	// for the header, or the header and the first segment.
	Segment uint64
	// Offset is where that begins in the file, in bytes.
	Offset int64
	// At is up to when, after the session's start, everything holds.
	At time.Duration
	// Err says what is wrong; [ErrCut] when the file just ends.
	Err error
}

// ErrCut says that a recording ends before its end was written: it was cut off,
// the agent was killed, or the session still goes on.
var ErrCut = errors.New("the recording ends before its end")

func (d *Damage) Error() string {
	return fmt.Sprintf("segment %d at byte %d, %v after the start: %v", d.Segment, d.Offset, d.At, d.Err)
}

// Unwrap returns Err.
func (d *Damage) Unwrap() error { return d.Err }

// Segment is a piece of a recording that holds.
type Segment struct {
	N      uint64
	Closed time.Duration // after the session's start
	Final  bool
	// Link is the chain's after it.
	Link seal.Link

	frame []byte
}

// Reader reads a recording segment by segment, in bounded memory. It is for one
// goroutine.
type Reader struct {
	in       *bufio.Reader
	header   *Header
	verifier *seal.Verifier // nil does not verify
	link     seal.Link
	offset   int64
	at       time.Duration
	err      error // from now on
}

// Knower says whether the key that a recording names is its agent's; a nil one
// asks for nothing to be verified.
type Knower func(hostKey jwtauth.PublicKey) error

// NewReader reads the header. When the host key that it names is known, what
// comes is verified.
func NewReader(r io.Reader, known Knower) (*Reader, error) {
	rd := &Reader{in: bufio.NewReaderSize(r, 64<<10)}
	raw, err := readSkippable(rd.in, magicHeader, maxHeader)
	switch {
	case err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF):
		return nil, rd.damaged(ErrCut)
	case err != nil:
		return nil, rd.damaged(err)
	}
	if rd.header, err = parseHeader(raw); err != nil {
		return nil, rd.damaged(err)
	}
	if known != nil {
		if rd.verifier, err = rd.header.verifier(known); err != nil {
			return nil, rd.damaged(err)
		}
	}
	rd.link = seal.Start(seal.Recording, raw)
	rd.offset = frameHeader + int64(len(raw))
	return rd, nil
}

// Header is whose recording it is; it holds once the first segment does.
func (r *Reader) Header() *Header { return r.header }

// Next returns the next segment: io.EOF after the final one, and a *[Damage]
// where something is wrong, which is all that comes from then on.
func (r *Reader) Next() (*Segment, error) {
	if r.err != nil {
		return nil, r.err
	}
	s, err := r.next()
	switch {
	case err != nil:
		r.err = r.damaged(err)
		return nil, r.err
	case s.Final:
		r.err = io.EOF
		if _, err := r.in.Peek(1); err != io.EOF {
			r.offset += s.size()
			r.link, r.at = s.Link, s.Closed
			r.err = r.damaged(errors.New("something follows the end"))
		}
	}
	r.offset += s.size()
	r.link, r.at = s.Link, s.Closed
	return s, nil
}

func (r *Reader) next() (*Segment, error) {
	raw, err := readSkippable(r.in, magicHead, headSize)
	if err == nil && len(raw) != headSize {
		err = fmt.Errorf("%w: the head of a segment has %d bytes", ErrFormat, len(raw))
	}
	if err != nil {
		return nil, cut(err)
	}
	h, err := parseHead(raw)
	if err != nil {
		return nil, err
	}
	frame := make([]byte, h.length)
	if _, err := io.ReadFull(r.in, frame); err != nil {
		return nil, cut(err)
	}
	if h.n != r.link.N+1 {
		return nil, fmt.Errorf("segment %d is where segment %d belongs", h.n, r.link.N+1)
	}
	s := &Segment{
		N: h.n, Closed: time.Duration(h.closed) * time.Millisecond, Final: h.final,
		Link: h.after(r.link, frame), frame: frame,
	}
	if r.verifier != nil {
		if err := r.verifier.Verify(seal.Recording, s.Link, h.signature[:]); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func cut(err error) error {
	if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrCut
	}
	return err
}

func (r *Reader) damaged(err error) error {
	d := &Damage{Segment: r.link.N + 1, Offset: r.offset, At: r.at, Err: err}
	if r.header == nil || d.Segment == 1 && errors.Is(err, seal.ErrSignature) {
		d.Segment, d.Offset = 0, 0 // the first link is the header's, too
	}
	return d
}

func (s *Segment) size() int64 { return frameHeader + headSize + int64(len(s.frame)) }

// ErrEncrypted says that a segment cannot be read without an identity.
var ErrEncrypted = errors.New("the recording is encrypted: give the identity of one of its recipients")

var decoders = sync.Pool{New: func() any {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxLines), zstd.WithDecoderLowmem(true))
	if err != nil {
		panic(err) // the options are constants
	}
	return d
}}

// Lines returns the segment's lines of asciicast v2, decrypted with one of the
// identities if need be.
func (s *Segment) Lines(with []age.Identity) ([]byte, error) {
	packed := s.frame
	if len(packed) >= frameHeader && binary.LittleEndian.Uint32(packed) == magicEncrypted {
		if len(with) == 0 {
			return nil, ErrEncrypted
		}
		var err error
		if packed, err = decrypt(packed[frameHeader:], with); err != nil {
			return nil, err
		}
	}
	read := unpack
	if len(packed) >= frameHeader && binary.LittleEndian.Uint32(packed) == magicFlood {
		read = floodLines
	}
	lines, err := read(packed)
	if err != nil {
		return nil, fmt.Errorf("segment %d: %w", s.N, err)
	}
	return lines, nil
}

// unpack undoes [pack].
func unpack(packed []byte) ([]byte, error) {
	d := decoders.Get().(*zstd.Decoder)
	defer decoders.Put(d)
	data, err := d.DecodeAll(packed, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return data, nil
}
