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
// used first of those that fit, so that the rest of a burst goes away.
type CallClient struct {
	dial  func(context.Context) (*net.UnixConn, error)
	turns *Turns

	mu     sync.Mutex
	idle   []*clientConn
	sweep  *time.Timer // of idle connections with a place; nil when none is set
	closed bool

	placeTime time.Duration
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
	return &CallClient{dial: dial, turns: NewTurns(limit, 0), placeTime: placeTime}
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
	conn, err := c.conn(ctx, call.Size > maxInline)
	if err != nil {
		return nil, unavailable(err)
	}
	conn.stop = context.AfterFunc(ctx, func() { conn.sock.Close() })
	reply, stream, err := conn.roundTrip(message, call)
	if err == nil && stream {
		conn.leavePlace()
		reply.Stream = conn
		return reply, nil
	}
	if !conn.stop() || err != nil {
		conn.end()
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
	if c.sweep != nil {
		c.sweep.Stop()
	}
	c.mu.Unlock()
	for _, conn := range idle {
		conn.end()
	}
}

var errClientClosed = errors.New("the front is stopping")

func (c *CallClient) conn(ctx context.Context, large bool) (*clientConn, error) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil, errClientClosed
	}
	if len(c.idle) > 0 {
		conn := c.takeIdle(large)
		c.mu.Unlock()
		return conn, nil
	}
	c.mu.Unlock()
	sock, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	conn := &clientConn{sock: rawio.NewConn(sock)}
	if conn.received.Raw, err = sock.SyscallConn(); err != nil {
		sock.Close()
		return nil, err
	}
	conn.in = bufio.NewReader(answers{conn})
	return conn, nil
}

func (c *CallClient) put(conn *clientConn) {
	c.mu.Lock()
	keep := !c.closed && len(c.idle) < maxIdleConns
	if keep {
		c.idle = append(c.idle, conn)
		c.keepPlace(conn)
	}
	c.mu.Unlock()
	if !keep {
		conn.end()
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
