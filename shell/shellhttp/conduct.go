package shellhttp

import (
	"context"
	"net"
	"time"

	"shellagent/shell"
)

// proves returns what tells a connection that a request on it had a verified
// token, or nil.
func proves(c net.Conn) func() {
	if p, ok := below(c).(interface{ Proven() }); ok {
		return p.Proven
	}
	return nil
}

// below is the connection that carries TLS.
func below(c net.Conn) net.Conn {
	if t, ok := c.(interface{ NetConn() net.Conn }); ok {
		return t.NetConn()
	}
	return c
}

// holder is a connection that makes one write of the records between Hold and
// Release.
type holder interface {
	Hold()
	Release() error
}

// holderOf is the connection below c, or nil where it writes as it comes.
func holderOf(c net.Conn) holder {
	h, _ := below(c).(holder)
	return h
}

// proven tells the request's connection, once.
func proven(ctx context.Context) {
	n, ok := ctx.Value(connNoteKey{}).(*connNote)
	if ok && n.tell != nil && !n.proven.Swap(true) {
		n.tell()
	}
}

// hold keeps a refusal back for as long as the broker says, or until the server
// is shut down. It costs the client its connection for that time, and the agent
// nothing that anybody else needs.
func (h *Handler) hold(ctx context.Context, wait time.Duration) {
	if wait <= 0 {
		return
	}
	t := time.NewTimer(min(wait, shell.MaxWait))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	case <-h.leaving:
	}
}
