package shellhttp

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"shellagent/shell"
)

// Bounds of a connection.
const (
	// headerTime is what a client has for its handshake, and again for each
	// request's headers once the first byte is there.
	headerTime = 10 * time.Second
	// idleTime is how long a connection waits for its next request. Clients
	// send at least every 10 seconds while they have a session.
	idleTime = 60 * time.Second
	// serverSlop is what net/http adds to MaxHeaderBytes.
	serverSlop = 4 << 10
	// unsentBytes is how much a slow connection may hold in the kernel beyond
	// what is on its way: what waits there delays a Ctrl-C's answer.
	unsentBytes = 128 << 10
)

// NewServer returns a server for h with all its limits set; run it with
// ServeTLS(listener, "", ""). tlsConfig needs a certificate and is not changed.
// A listener's connection that has a method Proven is told by it when a request
// on it had a verified token.
//
// Headers are bounded to 16 KiB in all. There is no limit on the time of an
// answer, which may be a session; each write of one has its own.
func NewServer(h *Handler, tlsConfig *tls.Config) *Server {
	watch := &connWatch{refused: h.count}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	server := &http.Server{
		Handler:                      h,
		TLSConfig:                    tlsConfig.Clone(),
		Protocols:                    &protocols,
		ReadHeaderTimeout:            headerTime,
		IdleTimeout:                  idleTime,
		MaxHeaderBytes:               16<<10 - serverSlop,
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(h.log.Handler(), slog.LevelDebug),
		ConnContext:                  watch.begin,
		ConnState:                    watch.state,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          32,
			MaxReadFrameSize:              16 << 10,
			MaxReceiveBufferPerConnection: 256 << 10,
			MaxReceiveBufferPerStream:     64 << 10,
			SendPingTimeout:               15 * time.Second,
			PingTimeout:                   10 * time.Second,
			WriteByteTimeout:              writeTime,
			CountError:                    h.countHTTP2,
		},
	}
	server.RegisterOnShutdown(h.leave)
	h.server = &Server{Server: server, handler: h, prompt: newPromptConns()}
	return h.server
}

// countHTTP2 counts what the server itself found wrong with a peer's HTTP/2. A
// peer that is gone without a word broke no rule.
func (h *Handler) countHTTP2(kind string) {
	if kind != "conn_close_lost_ping" {
		h.count(shell.ReasonMalformed, netip.Addr{})
	}
}

// connWatch counts the requests that net/http refuses before any handler sees
// them: malformed, too large, or never completed. In HTTP/1.1 a connection
// becomes active with each request, so one that closes while active and
// without a handler was such a request.
type connWatch struct {
	refused func(shell.Reason, netip.Addr)
	notes   sync.Map // net.Conn → *connNote
}

type connNote struct {
	active atomic.Bool // a request has begun
	served atomic.Bool // a handler has seen it
	proven atomic.Bool // a request of it had a verified token
	tell   func()      // the connection's own Proven, or nil
	conn   net.Conn
}

type connNoteKey struct{}

// served notes that a handler runs for the current request.
func served(ctx context.Context) {
	if n, ok := ctx.Value(connNoteKey{}).(*connNote); ok {
		n.served.Store(true)
	}
}

// connOf is the connection of a request, or nil where that is not known.
func connOf(ctx context.Context) net.Conn {
	if n, ok := ctx.Value(connNoteKey{}).(*connNote); ok {
		return n.conn
	}
	return nil
}

func (w *connWatch) begin(ctx context.Context, c net.Conn) context.Context {
	limitUnsent(c)
	n := &connNote{tell: proves(c), conn: c}
	w.notes.Store(c, n)
	return context.WithValue(ctx, connNoteKey{}, n)
}

func (w *connWatch) state(c net.Conn, state http.ConnState) {
	v, ok := w.notes.Load(c)
	if !ok {
		return
	}
	n := v.(*connNote)
	switch state {
	case http.StateActive:
		n.served.Store(false)
		n.active.Store(true)
	case http.StateIdle:
		n.active.Store(false)
	case http.StateHijacked, http.StateClosed:
		w.notes.Delete(c)
		if n.active.Load() && !n.served.Load() && !isHTTP2(c) {
			w.refused(shell.ReasonMalformed, remoteOf(c))
		}
	}
}

func isHTTP2(c net.Conn) bool {
	t, ok := c.(*tls.Conn)
	return ok && t.ConnectionState().NegotiatedProtocol == "h2"
}

func remoteOf(c net.Conn) netip.Addr {
	ap, err := netip.ParseAddrPort(c.RemoteAddr().String())
	if err != nil {
		return netip.Addr{}
	}
	return plainAddr(ap.Addr())
}

// tcpConn is what is asked of a TCP connection.
type tcpConn interface {
	syscall.Conn
	SetNoDelay(bool) error
}

// limitUnsent sets unsentBytes where the system can: the window of what is on
// its way stays as large as the path needs.
func limitUnsent(c net.Conn) {
	if t, ok := tcpOf(c); ok {
		t.SetNoDelay(true)
		setNotSentLowat(t, unsentBytes)
	}
}

// tcpOf is the TCP connection below c, which a listener may have wrapped.
func tcpOf(c net.Conn) (tcpConn, bool) {
	t, ok := below(c).(tcpConn)
	return t, ok
}

const (
	// farAway is the round trip from which the kernel's own bound of what is on
	// its way, 4 MiB with what it needs to keep them, is less than the path holds.
	farAway = 10 * time.Millisecond
	// muchSent is after how many bytes an answer is worth asking how far it goes.
	muchSent = 1 << 20
)

// widen gives a connection n bytes of send buffer if its way is long. The kernel
// no longer sizes it then, and takes no less memory for it than is on its way.
func widen(c net.Conn, n int) {
	if t, ok := tcpOf(c); ok && roundTripOf(t) >= farAway {
		setSendBuffer(t, n)
	}
}
