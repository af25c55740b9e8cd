package shell

import (
	"encoding/binary"
	"errors"
	"time"
)

// StdinHeaderSize is the length of the fixed header of a stdin body.
const StdinHeaderSize = 24

// ErrStdinInvalid says that a stdin body does not follow [AppendStdin].
var ErrStdinInvalid = errors.New("stdin body is invalid")

// Stdin is the body of a stdin request. What follows Data in the body is
// padding and is ignored: a client under keystroke cover sends bodies of one size.
type Stdin struct {
	// Offset is the input offset of the first byte of Data.
	Offset uint64
	// Ack acknowledges output up to this offset; 0 acknowledges nothing.
	Ack uint64
	// EOF says that input ends after Data.
	EOF bool
	// Cover is how often a client under keystroke cover sends: the time to its
	// next request, in whole milliseconds up to [MaxCover]. 0 is no cover.
	Cover time.Duration
	Data  []byte
}

const (
	// MaxCover is the longest time between two requests of a client under cover.
	MaxCover = time.Second
	// MaxCovered bounds the data of a request under cover, in bytes.
	MaxCovered = 4 << 10

	flagEOF   = 1
	flagCover = 2
)

// AppendStdin appends the header — offset and ack as big-endian uint64, length
// as big-endian uint32, flags (bit 0: EOF, bit 1: cover), a zero byte, the
// milliseconds of the cover as big-endian uint16, zero without one — and the data.
func AppendStdin(dst []byte, s Stdin) []byte {
	return append(AppendStdinHeader(dst, s), s.Data...)
}

// AppendStdinHeader is [AppendStdin] without the data, for who has that in
// place already.
func AppendStdinHeader(dst []byte, s Stdin) []byte {
	dst = binary.BigEndian.AppendUint64(dst, s.Offset)
	dst = binary.BigEndian.AppendUint64(dst, s.Ack)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(s.Data)))
	var flags byte
	if s.EOF {
		flags = flagEOF
	}
	if s.Cover > 0 {
		flags |= flagCover
	}
	dst = append(dst, flags, 0)
	return binary.BigEndian.AppendUint16(dst, uint16(s.Cover/time.Millisecond))
}

// ParseStdin is the inverse of [AppendStdin]; Data aliases body.
func ParseStdin(body []byte) (Stdin, error) {
	if len(body) < StdinHeaderSize {
		return Stdin{}, ErrStdinInvalid
	}
	n := binary.BigEndian.Uint32(body[16:20])
	flags, cover := body[20], time.Duration(binary.BigEndian.Uint16(body[22:24]))*time.Millisecond
	if flags > flagEOF|flagCover || body[21] != 0 || cover > MaxCover || (flags&flagCover != 0) != (cover > 0) ||
		n > MaxStdinData || cover > 0 && n > MaxCovered || int(n) > len(body)-StdinHeaderSize {
		return Stdin{}, ErrStdinInvalid
	}
	s := Stdin{
		Offset: binary.BigEndian.Uint64(body[0:8]),
		Ack:    binary.BigEndian.Uint64(body[8:16]),
		EOF:    flags&flagEOF != 0,
		Cover:  cover,
		Data:   body[StdinHeaderSize : StdinHeaderSize+int(n)],
	}
	if s.Offset+uint64(n) < s.Offset {
		return Stdin{}, ErrStdinInvalid
	}
	return s, nil
}
