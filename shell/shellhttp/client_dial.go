package shellhttp

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"time"
)

// dialer makes the TLS connections of one client, one of them ahead of its use.
type dialer struct {
	raw func(ctx context.Context, network, address string) (net.Conn, error)
	tls *tls.Config

	mu   sync.Mutex
	warm *warmConn
}

// warmConn is a connection that is being made. It is claimed once.
type warmConn struct {
	done   chan struct{} // closed when conn and err are set
	cancel context.CancelFunc
	conn   net.Conn
	err    error
}

// newDialer takes the caller's trust and adds what the protocol needs: TLS 1.3,
// HTTP/1.1 and tickets, so that the second connection costs no signature.
func newDialer(cfg *tls.Config, host string, raw func(context.Context, string, string) (net.Conn, error)) *dialer {
	cfg = cfg.Clone()
	if cfg == nil {
		cfg = &tls.Config{}
	}
	if cfg.ServerName == "" {
		cfg.ServerName = host
	}
	if cfg.ClientSessionCache == nil {
		cfg.ClientSessionCache = tls.NewLRUClientSessionCache(4)
	}
	cfg.MinVersion = tls.VersionTLS13
	cfg.NextProtos = []string{"http/1.1"}
	// Small records at the start are for pages that are drawn as they come.
	cfg.DynamicRecordSizingDisabled = true
	if raw == nil {
		raw = (&net.Dialer{KeepAlive: 15 * time.Second}).DialContext
	}
	return &dialer{raw: raw, tls: cfg}
}

// dial returns a new connection, or the one that prime has begun.
func (d *dialer) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	d.mu.Lock()
	w := d.warm
	d.warm = nil
	d.mu.Unlock()
	if w == nil {
		return d.connect(ctx, network, addr)
	}
	select {
	case <-w.done:
		if w.err == nil {
			return w.conn, nil
		}
		return d.connect(ctx, network, addr)
	case <-ctx.Done():
		w.discard()
		return nil, context.Cause(ctx)
	}
}

func (d *dialer) connect(ctx context.Context, network, addr string) (net.Conn, error) {
	// TCP_NODELAY is net's default.
	conn, err := d.raw(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	t := tls.Client(newBulkConn(conn), d.tls)
	if err := t.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return t, nil
}

// prime begins a connection that the next dial will use.
func (d *dialer) prime(addr string, timeout time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.warm != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	w := &warmConn{done: make(chan struct{}), cancel: cancel}
	d.warm = w
	go func() {
		defer cancel()
		w.conn, w.err = d.connect(ctx, "tcp", addr)
		close(w.done)
	}()
}

// primed says whether the next dial will use a connection that was begun.
func (d *dialer) primed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.warm != nil
}

// close gives up the connection that nobody claimed.
func (d *dialer) close() {
	d.mu.Lock()
	w := d.warm
	d.warm = nil
	d.mu.Unlock()
	if w != nil {
		w.discard()
	}
}

func (w *warmConn) discard() {
	w.cancel()
	<-w.done
	if w.conn != nil {
		w.conn.Close()
	}
}

// newTransport is HTTP/1.1 over d: one request at a time on a connection beats
// the multiplexing of HTTP/2 for a terminal.
func newTransport(d *dialer, buffer int) *http.Transport {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &http.Transport{
		DialTLSContext:         d.dial,
		Protocols:              &protocols,
		DisableCompression:     true,
		MaxIdleConnsPerHost:    maxBulkPosts + 1,
		IdleConnTimeout:        idleTime - 10*time.Second, // before the agent closes it
		MaxResponseHeaderBytes: 16 << 10,
		ReadBufferSize:         buffer,
		WriteBufferSize:        buffer,
	}
}
