package broker

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"shellagent/internal/rawio"
	"shellagent/shell"
)

// CallClient is the front's side of the codec. It is safe for concurrent use
// and implements shellhttp's Caller.
//
// Calls in progress are bounded, and the room is shared fairly between the
// clients' addresses ([Turns]); a stream that has begun no longer counts, since
// the broker bounds those by sessions. Idle connections are kept, the latest
// used first, so that the rest of a burst goes away.
type CallClient struct {
	dial  func(context.Context) (*net.UnixConn, error)
	turns *Turns

	mu     sync.Mutex
	idle   []*clientConn
	closed bool
}

const (
	maxIdleConns = 64
	// turnTimeout bounds the wait for room: a client that is answered "busy"
	// can try again, one that is not answered cannot.
	turnTimeout = 5 * time.Second
)

// NewCallClient returns a client that has at most limit calls in progress and
// gets its connections from dial.
func NewCallClient(dial func(context.Context) (*net.UnixConn, error), limit int) *CallClient {
	return &CallClient{dial: dial, turns: NewTurns(limit, 0)}
}

// Call sends a call and returns its reply. A body of up to 16 KiB is read to
// its end first, a larger one only when the broker asks for it. The error is a
// *[shell.Denied] with [shell.ReasonUnavailable] when the broker cannot be
// reached or has no room, and wraps the body's own error when reading that
// failed. Ending ctx ends the call and the stream that it answered with.
//
// The caller must close the reply's Stream when there is one.
func (c *CallClient) Call(ctx context.Context, call *shell.Call) (*shell.Reply, error) {
	out := clientBuffers.Get().(*[]byte)
	defer clientBuffers.Put(out)
	message, err := appendMessage((*out)[:0], call)
	if err != nil {
		return nil, err
	}
	if err := c.take(ctx, call); err != nil {
		return nil, unavailable(err)
	}
	defer c.turns.Done()
	conn, err := c.conn(ctx)
	if err != nil {
		return nil, unavailable(err)
	}
	conn.stop = context.AfterFunc(ctx, func() { conn.sock.Close() })
	reply, stream, err := conn.roundTrip(message, call)
	if err == nil && stream {
		reply.Stream = conn
		return reply, nil
	}
	if !conn.stop() || err != nil {
		conn.sock.Close()
	} else {
		c.put(conn)
	}
	return reply, err
}

func (c *CallClient) take(ctx context.Context, call *shell.Call) error {
	if c.turns.TryTake(false) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, turnTimeout)
	defer cancel()
	return c.turns.Take(ctx, call.Remote.Addr(), false)
}

// Ready says whether a call made now would find room before ctx ends: nil, or
// why not. It costs the broker nothing.
func (c *CallClient) Ready(ctx context.Context) error {
	c.mu.Lock()
	closed := c.closed
	c.mu.Unlock()
	if closed {
		return errClientClosed
	}
	if err := c.turns.Take(ctx, netip.Addr{}, false); err != nil {
		return fmt.Errorf("no room for calls to the broker: %w", err)
	}
	c.turns.Done()
	return nil
}

// Close closes the idle connections; calls in progress go on, later ones fail.
func (c *CallClient) Close() {
	c.mu.Lock()
	idle := c.idle
	c.idle, c.closed = nil, true
	c.mu.Unlock()
	for _, conn := range idle {
		conn.sock.Close()
	}
}

var errClientClosed = errors.New("the front is stopping")

func (c *CallClient) conn(ctx context.Context) (*clientConn, error) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil, errClientClosed
	}
	if n := len(c.idle); n > 0 {
		conn := c.idle[n-1]
		c.idle = c.idle[:n-1]
		c.mu.Unlock()
		return conn, nil
	}
	c.mu.Unlock()
	sock, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	prompt := rawio.NewConn(sock)
	conn := &clientConn{sock: prompt, in: bufio.NewReader(prompt)}
	if conn.stream.Raw, err = sock.SyscallConn(); err != nil {
		sock.Close()
		return nil, err
	}
	return conn, nil
}

func (c *CallClient) put(conn *clientConn) {
	c.mu.Lock()
	keep := !c.closed && len(c.idle) < maxIdleConns
	if keep {
		c.idle = append(c.idle, conn)
	}
	c.mu.Unlock()
	if !keep {
		conn.sock.Close()
	}
}

func unavailable(err error) error { return shell.Deny(shell.ReasonUnavailable, err) }

// clientBuffers hold a call and its small body.
var clientBuffers = sync.Pool{New: func() any { b := make([]byte, 0, lengthSize+maxHeader+maxInline); return &b }}

// appendMessage appends what is sent before the broker answers.
func appendMessage(dst []byte, call *shell.Call) ([]byte, error) {
	dst, err := appendCall(append(dst, 0, 0, 0, 0), call)
	if err != nil {
		return dst, err
	}
	binary.BigEndian.PutUint32(dst, uint32(len(dst)-lengthSize))
	if call.Size == 0 || call.Size > maxInline {
		return dst, nil
	}
	n := len(dst)
	dst = dst[:n+call.Size] // the buffer has room for both by construction
	if _, err := io.ReadFull(call.Body, dst[n:]); err != nil {
		return dst, bodyError(err)
	}
	return dst, nil
}

func bodyError(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("request body: %w", err)
}

// clientConn is one connection. As the Stream of a reply it is read and closed
// by whoever got the reply.
type clientConn struct {
	sock net.Conn
	in   *bufio.Reader // nil once a stream has taken what is in it
	stop func() bool   // forgets the caller's ctx

	stream rawio.RightsReader
	ring   atomic.Pointer[ringReceiver] // what is to come, from the file on
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
	n, file, err := c.stream.Read(p)
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
	if _, err := c.sock.Write(message); err != nil {
		return nil, false, unavailable(err)
	}
	kind, err := c.in.ReadByte()
	if err == nil && kind == answerGoOn && call.Size > maxInline {
		if err := c.sendBody(call); err != nil {
			return nil, false, err
		}
		kind, err = c.in.ReadByte()
	}
	if err != nil {
		return nil, false, unavailable(err)
	}
	if kind != answerReply {
		return nil, false, unavailable(fmt.Errorf("answer of kind %d: %w", kind, errCodec))
	}
	return c.readReply()
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
