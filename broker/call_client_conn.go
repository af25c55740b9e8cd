package broker

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"shellagent/internal/rawio"
	"shellagent/internal/shm"
	"shellagent/shell"
)

// clientConn is one connection. As the Stream of a reply it is read and closed
// by whoever got the reply.
type clientConn struct {
	sock net.Conn
	in   *bufio.Reader // nil once a stream has taken what is in it
	stop func() bool   // forgets the caller's ctx

	received rawio.RightsReader // the socket
	large    bool               // the call under way has a large body
	place    *shm.Place         // where large bodies go; may be nil
	placed   time.Time          // when the last one went there

	ring   atomic.Pointer[ringReceiver] // what is to come of a stream, from the file on
	closed atomic.Bool
}

var _ io.ReadCloser = (*clientConn)(nil)

// Read yields the frames of a stream; io.EOF is its end. Whoever reads has a buffer
// of their own, and an idle stream needs no second one.
func (c *clientConn) Read(p []byte) (int, error) {
	if c.in != nil {
		if n := c.in.Buffered(); n > 0 {
			return c.in.Read(p[:min(len(p), n)])
		}
		c.in = nil
	}
	if c.ringOf() != nil {
		return c.readRing(p)
	}
	n, file, err := c.received.Read(p)
	if file == nil {
		return n, err
	}
	r, err := openRing(file)
	if err != nil {
		return n - 1, err
	}
	c.ring.Store(r)
	if c.closed.Load() {
		r.leave()
	}
	if n--; n == 0 { // the byte that brought it
		return c.readRing(p)
	}
	return n, nil
}

// Close ends a stream: the broker sees that its client is gone.
func (c *clientConn) Close() error {
	c.stop()
	err := c.sock.Close()
	c.closed.Store(true)
	if r := c.ringOf(); r != nil {
		r.leave()
	}
	return err
}

// roundTrip sends a message and reads the reply, after the rest of the body
// when the broker asks for it.
func (c *clientConn) roundTrip(message []byte, call *shell.Call) (*shell.Reply, bool, error) {
	c.large = call.Size > maxInline
	if _, err := c.sock.Write(message); err != nil {
		return nil, false, unavailable(err)
	}
	kind, err := c.in.ReadByte()
	if err == nil && kind != answerReply && c.large {
		if err := c.bring(call, kind); err != nil {
			return nil, false, err
		}
		kind, err = c.in.ReadByte()
	}
	if err != nil {
		return nil, false, unavailable(err)
	}
	if kind != answerReply {
		return nil, false, unavailableKind(kind)
	}
	return c.readReply()
}

// unavailableKind is the error for an answer that may not come here.
func unavailableKind(kind byte) error {
	return unavailable(fmt.Errorf("answer of kind %d: %w", kind, errCodec))
}

// bring brings a large body in the way that the broker asked for.
func (c *clientConn) bring(call *shell.Call, kind byte) error {
	switch kind {
	case answerGoOn:
		return c.sendBody(call)
	case answerPlace:
		return c.placeBody(call)
	}
	return unavailableKind(kind)
}

// sendBody sends a large body. A broker that has read enough discards the rest.
func (c *clientConn) sendBody(call *shell.Call) error {
	buf := streamBuffers.Get().(*[]byte)
	defer streamBuffers.Put(buf)
	piece := (*buf)[:cap(*buf)]
	for left := call.Size; left > 0; {
		// A client's connection gives 16 KiB at a time, and every piece that is
		// passed on alone wakes the broker.
		n, err := io.ReadFull(call.Body, piece[:min(left, len(piece))])
		left -= n
		if n > 0 {
			if _, err := c.sock.Write(piece[:n]); err != nil {
				return unavailable(err)
			}
		}
		if err != nil && left > 0 {
			return bodyError(err)
		}
	}
	return nil
}

func (c *clientConn) readReply() (*shell.Reply, bool, error) {
	var length [lengthSize]byte
	if _, err := io.ReadFull(c.in, length[:]); err != nil {
		return nil, false, unavailable(err)
	}
	n := binary.BigEndian.Uint32(length[:])
	if n > maxReply {
		return nil, false, unavailable(fmt.Errorf("reply of %d bytes: %w", n, errCodec))
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(c.in, b); err != nil {
		return nil, false, unavailable(err)
	}
	reply, stream, err := decodeReply(b)
	if err != nil {
		return nil, false, unavailable(err)
	}
	return reply, stream, nil
}
