package broker

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"

	"shellagent/internal/rawio"
	"shellagent/internal/shm"
	"shellagent/shell"
)

// Handler answers calls. Handle is called from many goroutines, one call at a
// time for each connection. The call and its body are valid until Handle
// returns. Reading the body says that the caller's token was verified: a large
// one is asked for by the first Read, so a handler that refuses before it reads
// costs the front nothing and the broker no memory.
//
// ctx ends when the connection does, which for a reply with a stream is after
// Handle returned.
type Handler interface {
	Handle(ctx context.Context, call *shell.Call) *shell.Reply
}

// ServeConn serves the calls of one connection until the front closes it, ctx
// ends, or the front breaks the protocol, which is the error it then returns.
// It closes conn. A front that does not read stalls this connection alone.
func ServeConn(ctx context.Context, conn *net.UnixConn, h Handler) error {
	ctx, cancel := context.WithCancel(ctx)
	s := &callServer{conn: rawio.NewConn(conn), unix: conn, handler: h, cancel: cancel, out: make([]byte, 0, serverBuffer)}
	s.ctx = &connContext{Context: ctx, server: s}
	context.AfterFunc(ctx, func() { conn.Close() })
	err := s.serve()
	s.leavePlace()
	cancel()
	if s.watching {
		// What broke the protocol during a call is why the call was the last.
		err = (<-s.watch).err
	}
	if hungUp(err) {
		return nil
	}
	return err
}

// What an idle connection holds for each direction: a keystroke's call fits in one
// and its answer in the other. While a stream has nothing to say there is neither.
const (
	callBuffer   = 1 << 10
	serverBuffer = 4 << 10
)

// callServer is one connection. The goroutine that reads a call answers it, so
// that a keystroke is handed to nobody. That the front hung up meanwhile, another
// one sees, which is started when somebody wants to know ([connContext]): it reads the
// next message, and gives it back when the call is over.
type callServer struct {
	ctx     *connContext
	cancel  context.CancelFunc
	conn    net.Conn
	unix    *net.UnixConn // the same
	handler Handler
	ring    atomic.Pointer[ringSender] // once a stream goes through it
	busy    atomic.Bool                // a call is being answered and its reply not begun

	in   []byte // the buffer of what is read; have bytes of it are filled
	have int

	watch chan received // from the watching goroutine
	// Guarded by mu, since a handler may ask for the end of its context anywhere.
	mu       sync.Mutex
	watching bool // there is a watching goroutine
	wanted   bool // there is to be one once the body is read
	reading  bool // the goroutine that answers may read the connection itself

	call   shell.Call
	inline []byte // body of a call, when it came with the header
	body   callBody
	place  *shm.Place // where the front puts large bodies; may be nil
	out    []byte
}

// received is a call as it was read.
type received struct {
	header, inline []byte
	err            error
}

// connContext is the context of a connection. Whoever asks for the end of it has the
// connection watched until the call is over.
type connContext struct {
	context.Context
	server *callServer
}

// Done implements [context.Context].
func (w *connContext) Done() <-chan struct{} {
	s := w.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wanted = true; !s.reading {
		s.startWatch(0)
	}
	return w.Context.Done()
}

// startWatch has another goroutine skip some bytes and read the next message. It
// ends the connection when there is none. s.mu is held.
func (s *callServer) startWatch(skip int) {
	if s.watching {
		return
	}
	if s.watch == nil {
		s.watch = make(chan received, 1)
	}
	s.watching = true
	go func() {
		m := received{}
		if skip > 0 {
			_, m.err = io.CopyN(io.Discard, s.conn, int64(skip))
		}
		if m.err == nil {
			m.header, m.inline, m.err = s.readMessage()
		}
		if m.err != nil {
			s.cancel()
		}
		s.watch <- m
	}()
}

// next is the next message.
func (s *callServer) next() (m received) {
	s.mu.Lock()
	watching := s.watching
	s.reading = true // until the body has been read
	s.mu.Unlock()
	if watching {
		m = <-s.watch
		s.mu.Lock()
		s.watching = false
		s.mu.Unlock()
		return m
	}
	m.header, m.inline, m.err = s.readMessage()
	return m
}

// release says that nothing more of the call is read by whoever answers it, and
// how much of its body is left.
func (s *callServer) release(left int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reading = false; left > 0 || s.wanted {
		s.startWatch(left)
	}
}

// serve answers one call after the other.
func (s *callServer) serve() error {
	for {
		m := s.next()
		if m.err != nil {
			return m.err
		}
		if err := s.setCall(m.header, m.inline); err != nil {
			return err
		}
		s.busy.Store(true)
		if err := s.answer(); err != nil {
			return err
		}
	}
}

// readMessage reads a header and, when it is short, the body behind it. The
// result is valid until the next readMessage.
func (s *callServer) readMessage() (header, inline []byte, err error) {
	s.have = 0
	if len(s.in) != callBuffer {
		s.in = make([]byte, callBuffer)
	}
	if err := s.fill(lengthSize); err != nil {
		return nil, nil, err
	}
	length := binary.BigEndian.Uint32(s.in)
	if length > maxHeader || length < lengthSize {
		return nil, nil, fmt.Errorf("call header of %d bytes: %w", length, errCodec)
	}
	end := lengthSize + int(length)
	if err := s.fill(end); err != nil {
		return nil, nil, err
	}
	total := end
	// The size of the body is the header's last field.
	if size := binary.BigEndian.Uint32(s.in[end-4:]); size <= maxInline {
		total += int(size)
	}
	if err := s.fill(total); err != nil {
		return nil, nil, err
	}
	if s.have > total {
		return nil, nil, fmt.Errorf("front sent %d bytes after a call: %w", s.have-total, errCodec)
	}
	return s.in[lengthSize:end], s.in[end:total], nil
}

// fill reads until n bytes of a message are there.
func (s *callServer) fill(n int) error {
	if n > len(s.in) {
		s.in = append(make([]byte, 0, n), s.in[:s.have]...)[:n]
	}
	for s.have < n {
		k, err := s.conn.Read(s.in[s.have:])
		if r := s.ring.Load(); r != nil && err == nil {
			r.wake()
			continue
		}
		if k > 0 && s.busy.Load() {
			return fmt.Errorf("front sent data during a call: %w", errCodec)
		}
		if err != nil {
			return err
		}
		s.have += k
	}
	return nil
}

// setCall makes a message the next call.
func (s *callServer) setCall(header, inline []byte) error {
	if err := decodeCall(header, &s.call); err != nil {
		return err
	}
	s.inline = append(s.inline[:0], inline...)
	s.body = callBody{server: s, rest: s.inline, left: s.call.Size, large: s.call.Size > maxInline}
	s.call.Body = &s.body
	s.mu.Lock()
	s.wanted, s.reading = false, s.body.large
	s.mu.Unlock()
	return nil
}

// answer runs the handler for the call and writes its reply, and the stream that
// may follow. io.EOF says that there is nothing more to be served.
func (s *callServer) answer() error {
	reply := s.handler.Handle(s.ctx, &s.call)
	if reply == nil {
		reply = refusalReply(shell.ReasonInternal)
	}
	// From here on, what is left of the body is taken off the connection, so that
	// a front that is still sending comes to read the reply.
	s.body.finish()
	if err := s.writeReply(reply); err != nil {
		closeStream(reply)
		return io.EOF
	}
	if reply.Stream != nil {
		s.copyStream(reply.Stream)
		return io.EOF
	}
	if cap(s.inline) > serverBuffer {
		s.inline = nil
	}
	return nil
}

func (s *callServer) writeReply(r *shell.Reply) error {
	out, err := appendReply(append(s.out[:0], answerReply, 0, 0, 0, 0), r)
	if err != nil {
		closeStream(r)
		r.Stream = nil
		out, _ = appendReply(out[:1+lengthSize], refusalReply(shell.ReasonInternal))
	}
	binary.BigEndian.PutUint32(out[1:], uint32(len(out)-1-lengthSize))
	if cap(out) <= serverBuffer {
		s.out = out
	}
	// The front may send its next call as soon as it has read this reply.
	s.busy.Store(r.Stream != nil)
	_, err = s.conn.Write(out)
	return err
}

func refusalReply(reason shell.Reason) *shell.Reply {
	row := reason.Refusal()
	return &shell.Reply{Status: row.Status, Code: row.Code, Detail: row.Text}
}

func closeStream(r *shell.Reply) {
	if r.Stream != nil {
		r.Stream.Close()
	}
}

// hungUp says that an error is the plain end of a connection.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
