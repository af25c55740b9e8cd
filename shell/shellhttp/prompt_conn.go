package shellhttp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	"shellagent/internal/failpoint"
	"shellagent/shell"
)

// promptBuffer holds a request's head, and a keystroke's body behind it. A head
// that is larger is left to net/http.
const promptBuffer = 2 << 10

// promptConn serves input and control requests on a connection that net/http
// served one on before, with a token that held: each is read, handed to the broker
// and answered by the one goroutine that waits for it. net/http starts another for
// each, to see whether the client goes away meanwhile, and moves four deadlines; a
// keystroke would wait for that. Every token is verified as ever, by the broker.
// What is not of the form that our client writes goes back to net/http, unread.
type promptConn struct {
	server *Server
	conn   net.Conn
	remote netip.AddrPort
	ctx    context.Context // ends when the connection does, or is told to
	cancel context.CancelFunc

	buf    []byte      // of promptBuffer; nil before something is read
	lo, hi int         // what is read and not used yet
	idle   atomic.Bool // no request has begun
	begun  bool        // one has, and has the time that it may take
	// What the connection's deadlines are; the zero value is not known.
	readUntil, writeUntil time.Time

	call   shell.Call
	inline bytes.Reader
	out    []byte
}

// takeOver serves what follows on the connection of a request that was of the form
// and whose reply this is. It returns false if it cannot, with nothing done.
func (h *Handler) takeOver(w http.ResponseWriter, remote netip.AddrPort, reply *shell.Reply) bool {
	if h.server == nil || h.server.prompt.left() || reply.Code != "" || reply.Status != http.StatusOK || reply.Stream != nil {
		return false
	}
	p := newPromptConn(h.server, remote)
	if !p.hijack(w) {
		p.cancel()
		return false
	}
	if p.conn == nil || !h.server.prompt.enter(p) {
		p.cancel()
		p.close()
		return true
	}
	go p.run(func() bool { return p.answer(reply) == nil })
	return true
}

func newPromptConn(s *Server, remote netip.AddrPort) *promptConn {
	p := &promptConn{server: s, remote: remote}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p
}

// hijack takes the connection from net/http; false means that it cannot. There is
// none if its client has sent more than one of ours would, before it is answered.
func (p *promptConn) hijack(w http.ResponseWriter) bool {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return false
	}
	rest, _ := buffered.Reader.Peek(buffered.Reader.Buffered())
	if len(rest) > promptBuffer {
		conn.Close()
		return true
	}
	if p.conn = unwrapped(conn); len(rest) > 0 {
		p.hi = copy(p.room(), rest)
	}
	return true
}

// room is where more is read to.
func (p *promptConn) room() []byte {
	if p.buf == nil {
		p.buf = make([]byte, promptBuffer)
	}
	return p.buf[p.hi:]
}

func (p *promptConn) close() {
	if p.conn != nil {
		p.conn.Close()
	}
}

// run answers the request that was read by net/http, and those that follow if
// first says so.
func (p *promptConn) run(first func() bool) {
	back := false
	defer func() {
		if why := recover(); why != nil {
			// As in net/http, one request's fault is its connection's alone.
			p.server.handler.log.Error("a request was not answered", "panic", why, "stack", string(debug.Stack()))
		}
		p.cancel()
		if !back {
			p.conn.Close()
		}
		p.server.prompt.leave(p)
	}()
	if !first() {
		return
	}
	for {
		head, err := p.head()
		if err != nil {
			p.ended(err)
			return
		}
		h, ok := parsePromptHead(head, p.server.handler.base)
		if !ok {
			back = p.server.prompt.giveBack(p.conn, p.buf[p.lo:p.hi])
			return
		}
		p.lo += len(head)
		if p.serve(h) != nil {
			return
		}
	}
}

// errLeft says that the client went away within a request, errRefused that one was
// refused: both end the connection.
var (
	errLeft    = errors.New("the client is gone")
	errRefused = errors.New("the request was refused")
)

// errLeaving ends a connection that has no request.
var errLeaving = errors.New("the server is shut down")

// head returns the next request's head, still in the buffer. What cannot become
// one of the form is returned as it is.
func (p *promptConn) head() ([]byte, error) {
	if p.lo == p.hi {
		p.lo, p.hi = 0, 0
	} else if p.lo > 0 {
		p.hi = copy(p.buf, p.buf[p.lo:p.hi])
		p.lo = 0
	}
	for {
		b := p.buf[:p.hi]
		if i := bytes.Index(b, headEnd); i >= 0 {
			return b[:i+len(headEnd)], nil
		}
		if p.hi == promptBuffer || !bytes.HasPrefix(promptPost, b[:min(len(b), len(promptPost))]) {
			return b, nil
		}
		if err := p.wait(); err != nil {
			return nil, err
		}
		n, err := p.conn.Read(p.room())
		p.idle.Store(false)
		if p.hi += n; err != nil && n == 0 {
			return nil, err
		}
	}
}

// wait gives the next read its time: a connection may wait for a request for as
// long as in net/http, and a request that has begun for as long as there.
func (p *promptConn) wait() error {
	now := time.Now()
	if p.hi > 0 {
		if !p.begun {
			p.begun, p.readUntil = true, now.Add(headerTime)
			p.conn.SetReadDeadline(p.readUntil)
		}
		return nil
	}
	p.begun = false
	// Moving a deadline costs more than reading a key, so it is moved when a fifth
	// of it is spent.
	if left := p.readUntil.Sub(now); left < idleTime*4/5 {
		p.readUntil = now.Add(idleTime)
		p.conn.SetReadDeadline(p.readUntil)
	}
	p.idle.Store(true)
	if p.server.prompt.left() {
		return errLeaving
	}
	return nil
}

// ended counts a request that was begun and never completed, as net/http's are.
func (p *promptConn) ended(err error) {
	if p.hi > 0 && !errors.Is(err, errLeaving) {
		p.server.handler.count(shell.ReasonMalformed, p.remote.Addr())
	}
}

// serve answers one request. An error ends the connection.
func (p *promptConn) serve(head promptHead) error {
	h := p.server.handler
	p.call = shell.Call{Method: http.MethodPost, Target: head.target, Token: head.token, Remote: p.remote, Size: head.size}
	var slow *body
	if head.size <= p.hi-p.lo {
		p.inline.Reset(p.buf[p.lo : p.lo+head.size])
		p.call.Body = &p.inline
	} else {
		slow = &body{src: promptRest{p}, rc: p.conn, left: head.size, total: h.bodyTime, step: h.bodyProgress}
		p.call.Body = slow
		p.readUntil = time.Time{}
	}
	failpoint.Hit(failpoint.RequestReceived, head.target)
	reply, err := h.cfg.Caller.Call(p.ctx, &p.call)
	failpoint.Hit(failpoint.ReplyReceived, head.target)
	unread := false
	if slow == nil {
		p.lo += head.size
	} else if unread = slow.finish(); slow.late || slow.gone {
		h.drop(reply)
		if slow.late {
			return p.refuse(shell.ReasonBodyTimeout, err, unread)
		}
		return errLeft
	}
	switch {
	case err != nil:
		return p.refuse(shell.ReasonUnavailable, err, unread)
	case reply.Code != "":
		h.hold(p.ctx, reply.Wait)
		return p.problem(reply, unread)
	case reply.Stream != nil || unread || reply.Status != http.StatusOK:
		h.drop(reply)
		return p.refuse(shell.ReasonInternal, errors.New("a reply that no request of this form has"), unread)
	}
	return p.answer(reply)
}

// promptRest reads what is in a connection's buffer, and then the connection.
type promptRest struct{ p *promptConn }

var _ io.Reader = promptRest{}

// Read implements [io.Reader].
func (r promptRest) Read(b []byte) (int, error) {
	if p := r.p; p.lo < p.hi {
		n := copy(b, p.buf[p.lo:p.hi])
		p.lo += n
		return n, nil
	}
	return r.p.conn.Read(b)
}

// answer writes what net/http makes of [writeBody], in one piece.
func (p *promptConn) answer(reply *shell.Reply) error {
	out := append(p.out[:0], "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: "...)
	out = strconv.AppendInt(out, int64(len(reply.Body)), 10)
	out = append(out, "\r\nContent-Type: "+typeJSON+"\r\nX-Content-Type-Options: nosniff\r\nDate: "...)
	out = time.Now().UTC().AppendFormat(out, http.TimeFormat)
	out = append(out, "\r\n\r\n"...)
	p.out = append(out, reply.Body...)
	return p.write(p.out)
}

func (p *promptConn) write(b []byte) error {
	limit := p.server.handler.writeTime
	if now := time.Now(); p.writeUntil.Sub(now) < limit*4/5 {
		p.writeUntil = now.Add(limit)
		p.conn.SetWriteDeadline(p.writeUntil)
	}
	_, err := p.conn.Write(b)
	return err
}

// refuse answers a request that the front itself refuses.
func (p *promptConn) refuse(reason shell.Reason, err error, unread bool) error {
	h := p.server.handler
	h.log.Debug("refused", "reason", reason, "err", err, "remote", p.remote)
	h.count(reason, p.remote.Addr())
	return p.problem(problemOf(shell.Deny(reason, err)), unread)
}

// problem writes a refusal, which ends the connection. A client that is still
// sending comes to see it.
func (p *promptConn) problem(reply *shell.Reply, unread bool) error {
	w := &wholeAnswer{header: make(http.Header), conn: p.conn}
	if err := writeProblem(w, reply); err != nil {
		return err
	}
	if _, err := p.conn.Write(w.bytes()); err != nil {
		return err
	}
	if unread {
		p.conn.SetReadDeadline(time.Now().Add(drainTime))
		_, _ = io.CopyN(io.Discard, p.conn, shell.MaxCallBody)
	}
	return errRefused
}
