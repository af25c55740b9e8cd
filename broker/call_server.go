package broker

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"syscall"

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
	s := &callServer{
		ctx: ctx, conn: conn, handler: h,
		calls: make(chan struct{}), idle: make(chan struct{}, 1),
		resume: make(chan int, 1), ended: make(chan struct{}),
		out: make([]byte, 0, serverBuffer),
	}
	s.idle <- struct{}{}
	context.AfterFunc(ctx, func() { conn.Close() })
	go s.answer()
	err := s.read()
	close(s.calls)
	cancel()
	<-s.ended
	return err
}

// serverBuffer is what an idle connection holds for each direction. A
// keystroke's call and its answer fit in it.
const serverBuffer = 4 << 10

// callServer is one connection. Two goroutines share it: read, which owns the
// reading side and so notices at any moment that the front hung up, and answer,
// which runs the handler and writes. They hand the call to each other, so that
// only one of them touches it at a time.
type callServer struct {
	ctx     context.Context
	conn    *net.UnixConn
	handler Handler

	calls  chan struct{} // read → answer: call is set
	idle   chan struct{} // answer → read: call may be set
	resume chan int      // answer → read: the large body is out of the way, but for these bytes
	ended  chan struct{} // answer has returned
	busy   atomic.Bool   // a call was given to answer and its reply not begun

	in   []byte // read's buffer; have bytes of it are filled
	have int

	call   shell.Call
	inline []byte // body of a call, when it came with the header
	body   callBody
	out    []byte
}

// read takes calls off the connection and gives them to answer.
func (s *callServer) read() error {
	for {
		header, inline, err := s.readMessage()
		if err != nil {
			if hungUp(err) {
				return nil
			}
			return err
		}
		select {
		case <-s.idle:
		case <-s.ended:
			return nil
		}
		if err := s.setCall(header, inline); err != nil {
			return err
		}
		large := s.body.large
		s.busy.Store(true)
		select {
		case s.calls <- struct{}{}:
		case <-s.ended:
			return nil
		}
		if !large {
			continue
		}
		select {
		case left := <-s.resume:
			if _, err := io.CopyN(io.Discard, s.conn, int64(left)); err != nil {
				return nil
			}
		case <-s.ended:
			return nil
		}
	}
}

// readMessage reads a header and, when it is short, the body behind it. The
// result is valid until the next readMessage.
func (s *callServer) readMessage() (header, inline []byte, err error) {
	s.have = 0
	if len(s.in) != serverBuffer {
		s.in = make([]byte, serverBuffer)
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

// setCall makes a message the next call. It runs while answer is idle.
func (s *callServer) setCall(header, inline []byte) error {
	if err := decodeCall(header, &s.call); err != nil {
		return err
	}
	s.inline = append(s.inline[:0], inline...)
	s.body = callBody{server: s, rest: s.inline, left: s.call.Size, large: s.call.Size > maxInline}
	s.call.Body = &s.body
	return nil
}

// answer runs the handler for each call and writes its reply.
func (s *callServer) answer() {
	defer close(s.ended)
	defer s.conn.Close()
	for range s.calls {
		reply := s.handler.Handle(s.ctx, &s.call)
		if reply == nil {
			reply = refusalReply(shell.ReasonInternal)
		}
		// From here on, read takes what is left of the body off the connection,
		// so that a front that is still sending comes to read the reply.
		s.body.finish()
		if err := s.writeReply(reply); err != nil {
			closeStream(reply)
			return
		}
		if reply.Stream != nil {
			s.copyStream(reply.Stream)
			return
		}
		if cap(s.inline) > serverBuffer {
			s.inline = nil
		}
		s.idle <- struct{}{}
	}
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
