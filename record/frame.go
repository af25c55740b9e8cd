package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"shellagent/seal"
)

// Magic numbers of skippable frames (RFC 8878 §3.1.2).
const (
	magicHeader    = 0x184D2A5D
	magicHead      = 0x184D2A5E
	magicEncrypted = 0x184D2A5F
	magicFlood     = 0x184D2A5C

	frameHeader = 8 // magic and length, little endian
)

// Bounds of a file: what is beyond them was not written here.
const (
	maxHeader  = 64 << 10
	maxSegment = 4 << 20 // of a frame as it is stored
	maxLines   = 8 << 20 // of a segment's lines
)

// ErrFormat says that a file is no recording, or is not one any more.
var ErrFormat = errors.New("not a recording")

func appendSkippable(b []byte, magic uint32, data []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, magic)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(data)))
	return append(b, data...)
}

// readSkippable reads a frame of one magic number. It returns io.EOF at the end
// of the input and io.ErrUnexpectedEOF within the frame.
func readSkippable(r io.Reader, magic uint32, limit int) ([]byte, error) {
	var start [frameHeader]byte
	if _, err := io.ReadFull(r, start[:]); err != nil {
		return nil, err
	}
	if got := binary.LittleEndian.Uint32(start[:]); got != magic {
		return nil, fmt.Errorf("%w: frame %#x where %#x belongs", ErrFormat, got, magic)
	}
	n := binary.LittleEndian.Uint32(start[4:])
	if int64(n) > int64(limit) {
		return nil, fmt.Errorf("%w: a frame of %d bytes, at most %d", ErrFormat, n, limit)
	}
	data := make([]byte, n)
	if _, err := io.ReadFull(r, data); err != nil {
		return nil, noEOF(err)
	}
	return data, nil
}

func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

const (
	flagFinal = 1 << 0

	headSigned = 8 + 8 + 1 + 4
	headSize   = headSigned + seal.SignatureSize
)

// head precedes a segment.
type head struct {
	n         uint64
	closed    uint64 // milliseconds after the session's start
	final     bool
	length    uint32 // of the frame that follows
	signature [seal.SignatureSize]byte
}

// appendSigned appends what the signature covers.
func (h head) appendSigned(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, h.n)
	b = binary.BigEndian.AppendUint64(b, h.closed)
	var flags byte
	if h.final {
		flags = flagFinal
	}
	b = append(b, flags)
	return binary.BigEndian.AppendUint32(b, h.length)
}

func (h head) append(b []byte) []byte {
	return append(h.appendSigned(b), h.signature[:]...)
}

func parseHead(b []byte) (head, error) {
	if len(b) != headSize {
		return head{}, fmt.Errorf("%w: the head of a segment has %d bytes instead of %d", ErrFormat, len(b), headSize)
	}
	h := head{
		n: binary.BigEndian.Uint64(b), closed: binary.BigEndian.Uint64(b[8:]),
		final: b[16]&flagFinal != 0, length: binary.BigEndian.Uint32(b[17:]),
	}
	copy(h.signature[:], b[headSigned:])
	if b[16]&^flagFinal != 0 {
		return head{}, fmt.Errorf("%w: unknown flags %#x", ErrFormat, b[16])
	}
	if h.length > maxSegment {
		return head{}, fmt.Errorf("%w: a segment of %d bytes, at most %d", ErrFormat, h.length, maxSegment)
	}
	return h, nil
}

// after is the link of a segment: over its frame, then its head.
func (h head) after(l seal.Link, frame []byte) seal.Link {
	return l.Next(frame, h.appendSigned(make([]byte, 0, headSigned)))
}
