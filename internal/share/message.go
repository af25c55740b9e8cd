package share

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"

	"shellagent/internal/rawio"
	"shellagent/shell"
)

// greeting begins what either side sends. Its number is that of the protocol,
// which has no negotiation: a holder lives for minutes, and whoever does not
// understand it makes its own connection.
const greeting = "agent/2\n"

// kind says what a message is.
type kind byte

// From a guest.
const (
	kindAsk        kind = 'q' // an [Ask] in JSON; the first
	kindInput      kind = 'w' // input, within the credit that was given
	kindInputEnd   kind = 'e' // and no more of it
	kindResize     kind = 'r' // a window's size in JSON
	kindRedraw     kind = 'R' // the same, to be drawn anew in it
	kindAck        kind = 'a' // output up to this offset (8 bytes) has left the guest
	kindSignal     kind = 'k' // the name of a signal for the program
	kindSuspend    kind = 's' // the guest stops; answered by kindDone
	kindContinue   kind = 'c' // it goes on
	kindDetach     kind = 'd' // leave the session running; answered by kindDone
	kindClose      kind = 'x' // hang up, or let go of the exit; answered by kindDone
	kindBegun      kind = 'b' // from here on, to the guest: the agent may have been asked
	kindOpened     kind = 'i' // the session's info in JSON
	kindFrame      kind = 'f' // a frame: type, offset after it (8 bytes), data
	kindCredit     kind = 'g' // so many more bytes of input (4) may come
	kindDone       kind = 'o' // what was asked is done; one byte, 1 for yes
	kindSaid       kind = 'n' // a [saying] in JSON, for the person
	kindOutage     kind = 'u' // the connection is lost; one byte, 1 when that is over
	kindFailed     kind = 'F' // a [Failure] in JSON; the last
	kindStatus     kind = 'S' // a [Status] in JSON; the last
	kindHeaderSize      = 5
)

const (
	// maxMessage bounds a message, in bytes.
	maxMessage = shell.MaxOpenBody + 64<<10
	// frameHead is what stands before a frame's data.
	frameHead = 9
	// inputWindow is how much input may be on its way to the holder.
	inputWindow = 512 << 10
	// outputWindow is how much output may be on its way to the guest.
	outputWindow = 1 << 20
)

// errMessage says that the other side does not follow the protocol.
var errMessage = errors.New("a message of the shared connection is malformed")

// appendHead appends what stands before n bytes of data.
func appendHead(dst []byte, k kind, n int) []byte {
	dst = append(dst, byte(k))
	return binary.BigEndian.AppendUint32(dst, uint32(n))
}

// send writes one message, in one piece where the system can.
func send(w net.Conn, k kind, data []byte) error {
	head := appendHead(make([]byte, 0, kindHeaderSize), k, len(data))
	if len(data) <= 1<<10 {
		_, err := w.Write(append(head, data...))
		return err
	}
	return sendPieces(w, head, data)
}

// sendPieces sends what is too much to be copied. What rawio has to offer is for
// small writes.
func sendPieces(w net.Conn, head, data []byte) error {
	if c, ok := w.(*rawio.Conn); ok {
		w = c.Conn
	}
	pieces := net.Buffers{head, data}
	_, err := pieces.WriteTo(w)
	return err
}

// sendFrame is send for a frame, whose data is not copied unless it is small.
func sendFrame(w net.Conn, f shell.Frame) error {
	head := appendHead(make([]byte, 0, kindHeaderSize+frameHead), kindFrame, frameHead+len(f.Data))
	head = append(head, byte(f.Type))
	head = binary.BigEndian.AppendUint64(head, f.End)
	if len(f.Data) <= 1<<10 {
		_, err := w.Write(append(head, f.Data...))
		return err
	}
	return sendPieces(w, head, f.Data)
}

// receive reads one message, into buf where that is large enough. io.EOF means
// that the other side left between messages.
func receive(r *bufio.Reader, buf []byte) (k kind, data []byte, err error) {
	head, err := r.Peek(kindHeaderSize)
	if err != nil {
		if len(head) > 0 && errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return 0, nil, err
	}
	k, n := kind(head[0]), binary.BigEndian.Uint32(head[1:])
	if n > maxMessage {
		return 0, nil, fmt.Errorf("%w: %d bytes, at most %d are possible", errMessage, n, maxMessage)
	}
	_, _ = r.Discard(kindHeaderSize)
	if cap(buf) < int(n) {
		buf = make([]byte, n)
	}
	data = buf[:n]
	if _, err := io.ReadFull(r, data); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return 0, nil, err
	}
	return k, data, nil
}

// parseFrame is the inverse of sendFrame's body. Data is not copied.
func parseFrame(data []byte) (shell.Frame, error) {
	if len(data) < frameHead {
		return shell.Frame{}, fmt.Errorf("%w: a frame of %d bytes", errMessage, len(data))
	}
	f := shell.Frame{Type: shell.FrameType(data[0]), End: binary.BigEndian.Uint64(data[1:]), Data: data[frameHead:]}
	switch f.Type {
	case shell.FrameStdout, shell.FrameStderr, shell.FrameNotice, shell.FrameGap, shell.FrameExit:
		return f, nil
	}
	return shell.Frame{}, fmt.Errorf("%w: %s in it", errMessage, f.Type)
}

// parseOffset reads an acknowledgement.
func parseOffset(data []byte) (uint64, error) {
	if len(data) != 8 {
		return 0, fmt.Errorf("%w: an offset of %d bytes", errMessage, len(data))
	}
	return binary.BigEndian.Uint64(data), nil
}

// parseJSON reads a message in JSON.
func parseJSON(data []byte, to any) error {
	if err := json.Unmarshal(data, to); err != nil {
		return fmt.Errorf("%w: %w", errMessage, err)
	}
	return nil
}
