package shellhttp

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"shellagent/internal/failpoint"
	"shellagent/shell"
)

// Caller answers requests: the broker, seen from the front.
//
// Call returns a reply for everything that was decided, refusals included, and
// an error only when nobody could be asked. It gives up when ctx ends. It does
// not read call.Body after it returned. It is safe for concurrent use.
type Caller interface {
	Call(ctx context.Context, call *shell.Call) (*shell.Reply, error)
}

// HandlerConfig says how requests become calls. Caller is required.
type HandlerConfig struct {
	Caller Caller
	// BasePath is the configured path prefix ("/ops"), without which requests
	// find nothing; "" serves at the root.
	BasePath string
	// TrustedProxies are the peers whose X-Forwarded-For is believed; none
	// when empty.
	TrustedProxies []netip.Prefix
	// Agent returns the JSON of GET /v1/agent, or nil while it is not known.
	Agent func() []byte
	// Ready says whether the broker can be reached, for GET /healthz. It is
	// asked by anybody, so it must be cheap; nil means it always can.
	Ready func(ctx context.Context) error
	// Refused, when not nil, is told of each request that the front refused by
	// itself. The address is the zero value where it is not known.
	Refused func(reason shell.Reason, remote netip.Addr)
	// Log is slog.Default when nil. The handler logs at debug level only:
	// strangers choose how often it has something to say.
	Log *slog.Logger
	// SendBuffer is what is asked of the kernel, in bytes, for a connection that
	// sends much over a long way; 0 leaves it to the kernel.
	SendBuffer int
}

// Handler serves the protocol. It keeps nothing between requests.
type Handler struct {
	cfg  HandlerConfig
	base string
	log  *slog.Logger

	bodyTime, bodyProgress, writeTime time.Duration

	compressing places
	server      *Server // what the handler was given to; nil before

	leaving chan struct{} // closed when the server is shut down
	leave   func()
}

var _ http.Handler = (*Handler)(nil)

// NewHandler returns the handler of the whole protocol.
func NewHandler(cfg HandlerConfig) *Handler {
	h := &Handler{cfg: cfg, log: cfg.Log, bodyTime: bodyTime, bodyProgress: bodyProgress, writeTime: writeTime}
	h.leaving = make(chan struct{})
	h.leave = sync.OnceFunc(func() { close(h.leaving) })
	if h.log == nil {
		h.log = slog.Default()
	}
	if base := strings.Trim(cfg.BasePath, "/"); base != "" {
		h.base = "/" + base
	}
	return h
}

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	served(r.Context())
	remote := clientAddr(r, h.cfg.TrustedProxies)
	if denied := checkForm(r); denied != nil {
		h.refuse(w, r, remote, denied)
		return
	}
	target, ok := strings.CutPrefix(r.RequestURI, h.base)
	if !ok || !strings.HasPrefix(target, "/") {
		h.refuse(w, r, remote, shell.Deny(shell.ReasonRoute, nil))
		return
	}
	switch {
	case target == "/healthz" && (r.Method == http.MethodGet || r.Method == http.MethodHead):
		h.bodiless(w, r, remote, h.health)
	case target == "/v1/agent" && r.Method == http.MethodGet:
		h.bodiless(w, r, remote, h.agent)
	default:
		h.call(w, r, target, remote)
	}
}

// bodiless answers what anybody may ask, which has no body: the server would
// wait without a deadline for one that was announced and does not come.
func (h *Handler) bodiless(w http.ResponseWriter, r *http.Request, remote netip.AddrPort, answer func(http.ResponseWriter, *http.Request, netip.AddrPort)) {
	if _, denied := checkBody(r, ""); denied != nil {
		h.refuse(w, r, remote, denied)
		return
	}
	answer(w, r, remote)
}

// call hands a request to the broker and renders what it says.
func (h *Handler) call(w http.ResponseWriter, r *http.Request, target string, remote netip.AddrPort) {
	call, denied := newCall(r, target, remote)
	if denied != nil {
		h.refuse(w, r, remote, denied)
		return
	}
	b := &body{
		src: r.Body, rc: http.NewResponseController(w), left: call.Size,
		total: h.bodyTime, step: h.bodyProgress,
	}
	call.Body = b
	ctx, forget := r.Context(), func() bool { return false }
	var stream *promptConn // for it, which outlives the request in net/http's eyes
	if h.isStream(r, remote) {
		stream = newPromptConn(h.server, remote)
		forget = context.AfterFunc(ctx, stream.cancel)
		ctx = stream.ctx
	}
	failpoint.Hit(failpoint.RequestReceived, target)
	reply, err := h.cfg.Caller.Call(ctx, call)
	failpoint.Hit(failpoint.ReplyReceived, target)
	unread := b.finish()
	switch {
	case b.late:
		h.drop(reply)
		h.refuse(w, r, remote, shell.Deny(shell.ReasonBodyTimeout, err))
	case b.gone || r.Context().Err() != nil:
		h.drop(reply)
		panic(http.ErrAbortHandler) // nobody is there to be answered
	case err != nil:
		h.refuse(w, r, remote, shell.Deny(shell.ReasonUnavailable, err))
	case reply.Stream != nil && unread:
		h.drop(reply)
		h.refuse(w, r, remote, shell.Deny(shell.ReasonInternal, errors.New("a stream was begun before the body was read")))
	default:
		if reply.Code == "" || afterToken[reply.Code] {
			proven(r.Context())
		}
		h.hold(r.Context(), reply.Wait)
		switch {
		case !unread && isPrompt(r, target) && h.takeOver(w, remote, reply):
		case stream != nil && reply.Stream != nil && !h.server.prompt.left() && h.takeStream(w, stream, reply.Stream, forget):
		default:
			h.answer(w, r, reply)
		}
	}
}

func newCall(r *http.Request, target string, remote netip.AddrPort) (*shell.Call, *shell.Denied) {
	switch r.Method {
	case http.MethodGet, http.MethodPost, http.MethodDelete:
	default:
		return nil, shell.Deny(shell.ReasonMethod, nil)
	}
	token, denied := bearer(r)
	if denied != nil {
		return nil, denied
	}
	size, denied := checkBody(r, target)
	if denied != nil {
		return nil, denied
	}
	return &shell.Call{Method: r.Method, Target: target, Token: token, Remote: remote, Size: size}, nil
}

// answer renders a reply of the broker.
func (h *Handler) answer(w http.ResponseWriter, r *http.Request, reply *shell.Reply) {
	var err error
	switch {
	case reply.Stream != nil:
		if err = h.serveStream(w, r, reply.Stream); err != nil {
			h.log.Debug("stream was cut", "err", err)
			panic(http.ErrAbortHandler) // or the cut would look like an end
		}
	case reply.Code != "":
		err = writeProblem(w, reply)
	default:
		err = writeBody(w, reply.Status, typeJSON, reply.Body)
	}
	if err != nil {
		h.log.Debug("answer was not sent", "err", err)
	}
}

// drop lets go of a stream that nobody will read.
func (h *Handler) drop(reply *shell.Reply) {
	if reply != nil && reply.Stream != nil {
		reply.Stream.Close()
	}
}

// refuse answers a request that the front itself refuses, and closes its
// connection.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, remote netip.AddrPort, denied *shell.Denied) {
	h.log.Debug("refused", "reason", denied.Reason, "err", denied.Err, "remote", remote)
	h.count(denied.Reason, remote.Addr())
	w.Header().Set("Connection", "close")
	http.NewResponseController(w).SetReadDeadline(time.Now().Add(drainTime))
	h.answer(w, r, problemOf(denied))
}

func (h *Handler) count(reason shell.Reason, remote netip.Addr) {
	if h.cfg.Refused != nil {
		h.cfg.Refused(reason, remote)
	}
}

// health answers whether the agent can work; it tells nothing else.
func (h *Handler) health(w http.ResponseWriter, r *http.Request, _ netip.AddrPort) {
	if h.cfg.Ready != nil {
		ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
		defer cancel()
		if err := h.cfg.Ready(ctx); err != nil {
			h.log.Debug("not ready", "err", err)
			writeBody(w, http.StatusServiceUnavailable, "text/plain", []byte("unavailable\n"))
			return
		}
	}
	writeBody(w, http.StatusOK, "text/plain", []byte("ok\n"))
}

// agent answers which agent this is. Nothing in it is secret or proof.
func (h *Handler) agent(w http.ResponseWriter, r *http.Request, remote netip.AddrPort) {
	var text []byte
	if h.cfg.Agent != nil {
		text = h.cfg.Agent()
	}
	if text == nil {
		h.refuse(w, r, remote, shell.Deny(shell.ReasonUnavailable, nil))
		return
	}
	writeBody(w, http.StatusOK, typeJSON, text)
}
