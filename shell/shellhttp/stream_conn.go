package shellhttp

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"runtime/debug"
	"sync"
	"time"

	"shellagent/internal/failpoint"
)

// Room for what stands around a chunk (RFC 9112 §7.1): its size, and the end of
// its line and its own.
const (
	chunkHead = len("1ffff\r\n")
	chunkTail = len("\r\n")
)

// streamConn sends a session's frames to our client on a connection that net/http
// read the request of: each piece in one write, without net/http's buffers and
// what it keeps of a request as long as that is answered. The same bytes come as
// from net/http, but for the order of headers. When the stream has ended, the
// connection is a [promptConn]'s.
//
// Two goroutines have it: run sends, and the connection's own waits meanwhile
// for its client to leave, or to ask for something else.
type streamConn struct {
	*promptConn
	frames io.Reader
	leave  func() // closes frames
	head   []byte // of the answer, until it is sent
	hold   holder // makes one write of many records; may be nil
	// much, unless nil, is called once after muchSent bytes.
	much  func()
	sent  int
	ended chan struct{}
	whole bool // and not cut; see ended
}

// Placed are a stream's frames ([shell.Reply]) that may come to lie in memory of
// their own, from which they are sent as they lie there.
type Placed interface {
	// Hold says whether they do from now on, and keeps that memory until Drop.
	Hold() bool
	Drop()
	// Next returns the next piece, of less than 1 MiB, with [PieceRoom] bytes to write
	// to before it and behind it, until the next call. io.EOF is the end.
	Next() ([]byte, error)
}

// PieceRoom is what a piece of [Placed] frames has around it, in bytes: more than a
// chunk's head and tail.
const PieceRoom = 64

// isStream says that a request of our client's that came here straight is to be
// answered by a streamConn if a stream begins.
func (h *Handler) isStream(r *http.Request, remote netip.AddrPort) bool {
	if h.server == nil || r.ProtoMajor != 1 || r.ProtoMinor != 1 || r.Close || r.UserAgent() != "shellagent" || wantsZstd(r.Header) {
		return false
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && remote.Addr() == plainAddr(peer.Addr()) && remote.Port() == peer.Port() && wantsFrames(r.Header)
}

// takeStream sends a stream on the connection of its request, which p will serve.
// It returns false if it cannot, with nothing done.
func (h *Handler) takeStream(w http.ResponseWriter, p *promptConn, frames io.ReadCloser, forget func() bool) bool {
	if !p.hijack(w) {
		return false
	}
	if forget(); p.conn == nil || !h.server.prompt.enter(p) {
		p.cancel()
		frames.Close()
		p.close()
		return true
	}
	s := &streamConn{
		promptConn: p, frames: frames, leave: sync.OnceFunc(func() { frames.Close() }),
		head: streamHead(time.Now()), hold: holderOf(p.conn), ended: make(chan struct{}),
	}
	if n, conn := h.cfg.SendBuffer, p.conn; n > 0 {
		s.much = func() { widen(conn, n) }
	}
	go p.run(s.serve)
	return true
}

// streamHead is the head of a stream's answer.
func streamHead(now time.Time) []byte {
	header := make(http.Header)
	streamHeaders(header, typeFrames)
	header.Set("Date", now.UTC().Format(http.TimeFormat))
	header.Set("Transfer-Encoding", "chunked")
	var b bytes.Buffer
	b.WriteString("HTTP/1.1 200 OK\r\n")
	header.Write(&b)
	b.WriteString("\r\n")
	return b.Bytes()
}

// serve sends the stream. It returns whether the connection is of further use,
// with nobody else at it.
func (s *streamConn) serve() bool {
	go s.run()
	if !s.attend() {
		s.leave() // run waits for frames, mostly
		s.close()
		<-s.ended
		return false
	}
	if <-s.ended; s.hi > 0 {
		s.idle.Store(false)
	}
	return s.whole
}

// attend returns true when the client has sent something, or the stream has
// ended and something comes; false when the connection is of no use any more. It
// waits where it needs little of a stack.
func (s *streamConn) attend() bool {
	if s.hi > 0 {
		return true // it was sent along with the request
	}
	if t, ok := tcpOf(s.conn); ok && awaitReadable(t) != nil {
		return false
	}
	select {
	case <-s.ended:
		return true // what has come is a request's, or the end
	default:
	}
	n, err := s.conn.Read(s.room())
	s.hi += n
	return n > 0 || err == nil
}

// run sends the stream, and leaves the connection to serve.
func (s *streamConn) run() {
	defer close(s.ended)
	defer s.leave()
	defer func() {
		if why := recover(); why != nil {
			s.server.handler.log.Error("a stream was not sent", "panic", why, "stack", string(debug.Stack()))
			s.close()
		}
	}()
	if err := s.send(); err != nil {
		s.server.handler.log.Debug("stream was cut", "err", err)
		s.close() // or the cut would look like an end
		return
	}
	s.whole = true
	s.readUntil = time.Now().Add(idleTime)
	s.conn.SetReadDeadline(s.readUntil)
	if s.idle.Store(true); s.server.prompt.left() {
		s.conn.SetReadDeadline(time.Unix(1, 0))
	}
}

// send passes on the frames until they end, and then the answer's end.
func (s *streamConn) send() error {
	idle := make([]byte, chunkHead+idleBuffer+chunkTail)
	for {
		n, err := s.pass(idle)
		if err == nil && n == idleBuffer {
			err = s.sendBusy()
		}
		if p, ok := s.frames.(Placed); ok && err == nil && p.Hold() {
			err = s.sendPlaced(p)
		}
		if err == io.EOF {
			return s.write(append(s.head, "0\r\n\r\n"...))
		}
		if err != nil {
			return err
		}
	}
}

// sendBusy goes on while reads fill more than an idle stream's buffer.
func (s *streamConn) sendBusy() error {
	buf := busy.Get().(*[busyBuffer]byte)
	defer busy.Put(buf)
	for {
		if n, err := s.pass(buf[:]); err != nil || n <= idleBuffer {
			return err
		}
		if p, ok := s.frames.(Placed); ok && p.Hold() {
			p.Drop()
			return nil // and this memory is not needed any more
		}
	}
}

// sendPlaced sends what lies where it came, until its end.
func (s *streamConn) sendPlaced(frames Placed) error {
	defer frames.Drop()
	for {
		piece, err := frames.Next()
		if err != nil {
			return err
		}
		n := len(piece) - 2*PieceRoom
		if n == 0 {
			continue // would be the end
		}
		if err := s.sendPiece(piece[PieceRoom-chunkHead:], n); err != nil {
			return err
		}
	}
}

// pass reads frames once, into buf, and sends what came.
func (s *streamConn) pass(buf []byte) (n int, err error) {
	n, err = s.frames.Read(buf[chunkHead : len(buf)-chunkTail])
	if n == 0 {
		return 0, err
	}
	if failed := s.sendPiece(buf, n); failed != nil {
		err = failed
	}
	return n, err
}

// sendPiece sends the n bytes at chunkHead of buf as a chunk.
func (s *streamConn) sendPiece(buf []byte, n int) error {
	failpoint.Hit(failpoint.FramesReceived, "")
	out := chunk(buf, n)
	if s.head != nil {
		out, s.head = append(s.head, out...), nil
	}
	if s.sent += n; s.much != nil && s.sent >= muchSent {
		s.much()
		s.much = nil
	}
	failpoint.Hit(failpoint.FramesWritten, "")
	return s.deliver(out)
}

func (s *streamConn) deliver(p []byte) error {
	if s.hold == nil || len(p) <= maxRecord {
		return s.write(p)
	}
	s.hold.Hold()
	return errors.Join(s.write(p), s.hold.Release())
}

// chunk makes one of the n bytes at chunkHead of buf, and returns it.
func chunk(buf []byte, n int) []byte {
	const digits = "0123456789abcdef"
	at, end := chunkHead-2, chunkHead+n
	copy(buf[at:], "\r\n")
	copy(buf[end:], "\r\n")
	for size := n; size > 0; size >>= 4 {
		at--
		buf[at] = digits[size&15]
	}
	return buf[at : end+chunkTail]
}
