package shell

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// FrameType says what a [Frame] carries. The numbers are the wire's.
type FrameType uint8

// The frames of a stream, in the order in which a client may first meet them.
const (
	FrameSession   FrameType = 1 // first of every stream; Data is a [SessionInfo] in JSON
	FrameStdout    FrameType = 2 // Data is output
	FrameStderr    FrameType = 3 // Data is output; programs without a terminal only
	FrameKeepalive FrameType = 4 // Data is random bytes of random length, to be ignored
	FrameNotice    FrameType = 5 // Data is a [Notice] in JSON; for the person, not the program
	FrameGap       FrameType = 6 // no Data; output up to End was skipped (skipping cursors only)
	FrameExit      FrameType = 7 // Data is an [Exit] in JSON; occupies one offset; last of the session
)

var frameNames = [...]string{
	FrameSession:   "session",
	FrameStdout:    "stdout",
	FrameStderr:    "stderr",
	FrameKeepalive: "keepalive",
	FrameNotice:    "notice",
	FrameGap:       "gap",
	FrameExit:      "exit",
}

// String returns the name that the event stream uses, or "frame(n)".
func (t FrameType) String() string {
	if int(t) < len(frameNames) && frameNames[t] != "" {
		return frameNames[t]
	}
	return fmt.Sprintf("frame(%d)", uint8(t))
}

// ParseFrameType is the inverse of [FrameType.String] for the known types.
func ParseFrameType(name string) (FrameType, bool) {
	for t, n := range frameNames {
		if n != "" && n == name {
			return FrameType(t), true
		}
	}
	return 0, false
}

// Width is how many output offsets a frame of this type with n bytes of data
// occupies: n for output, one for the exit, none for the rest. A gap's width
// is told by its End alone.
func (t FrameType) Width(n int) uint64 {
	switch t {
	case FrameStdout, FrameStderr:
		return uint64(n)
	case FrameExit:
		return 1
	default:
		return 0
	}
}

// Frame is one piece of a session's stream.
type Frame struct {
	Type FrameType
	// End is the output offset after this frame. For a frame that occupies no
	// offset it is the offset of the stream at that point, so that
	// previous End + Width = End holds for all but a gap.
	End uint64
	// Data is valid until the producer is asked for the next frame.
	Data []byte
}

const (
	// FrameHeaderSize is the length of the binary encoding's header.
	FrameHeaderSize = 16
	// MaxFrameData bounds the data of one frame, in bytes.
	MaxFrameData = 256 << 10
)

// Errors of [ReadFrame] and [DecodeFrameHeader]; match with errors.Is.
var (
	ErrFrameTooLarge = errors.New("frame is larger than 256 KiB")
	ErrFrameInvalid  = errors.New("frame header is invalid")
)

// AppendFrameHeader appends the 16-byte header of a frame with n bytes of data:
// type, three zero bytes, n as a big-endian uint32, End as a big-endian uint64.
func AppendFrameHeader(dst []byte, t FrameType, n int, end uint64) []byte {
	dst = append(dst, byte(t), 0, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, uint32(n))
	return binary.BigEndian.AppendUint64(dst, end)
}

// AppendFrame appends the binary encoding of f, which [ReadFrame] reads.
func AppendFrame(dst []byte, f Frame) []byte {
	return append(AppendFrameHeader(dst, f.Type, len(f.Data), f.End), f.Data...)
}

// DecodeFrameHeader is the inverse of [AppendFrameHeader]. It refuses unknown
// types, non-zero padding and lengths over [MaxFrameData].
func DecodeFrameHeader(h []byte) (t FrameType, n int, end uint64, err error) {
	if len(h) < FrameHeaderSize || h[1]|h[2]|h[3] != 0 {
		return 0, 0, 0, ErrFrameInvalid
	}
	t = FrameType(h[0])
	if int(t) >= len(frameNames) || frameNames[t] == "" {
		return 0, 0, 0, fmt.Errorf("%w: unknown type %d", ErrFrameInvalid, h[0])
	}
	length := binary.BigEndian.Uint32(h[4:8])
	if length > MaxFrameData {
		return 0, 0, 0, ErrFrameTooLarge
	}
	return t, int(length), binary.BigEndian.Uint64(h[8:16]), nil
}

// ReadFrame reads one frame. Its data is read into buf when that is large
// enough and is valid until buf is used again. io.EOF means that the stream
// ended between frames, io.ErrUnexpectedEOF that it was cut within one.
func ReadFrame(r io.Reader, buf []byte) (Frame, error) {
	var h [FrameHeaderSize]byte
	if cap(buf) >= FrameHeaderSize {
		// The header goes through the caller's buffer, so that nothing escapes.
		b := buf[:FrameHeaderSize]
		if _, err := io.ReadFull(r, b); err != nil {
			return Frame{}, err
		}
		copy(h[:], b)
	} else {
		b := make([]byte, FrameHeaderSize)
		if _, err := io.ReadFull(r, b); err != nil {
			return Frame{}, err
		}
		copy(h[:], b)
	}
	t, n, end, err := DecodeFrameHeader(h[:])
	if err != nil {
		return Frame{}, err
	}
	if cap(buf) < n {
		buf = make([]byte, n)
	}
	buf = buf[:n]
	if _, err := io.ReadFull(r, buf); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return Frame{}, err
	}
	return Frame{Type: t, End: end, Data: buf}, nil
}
