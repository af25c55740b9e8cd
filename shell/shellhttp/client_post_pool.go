package shellhttp

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// postPool makes the connections of input and control requests and keeps those
// that are between two requests. It is safe for concurrent use.
type postPool struct {
	dial             func(ctx context.Context, network, addr string) (net.Conn, error)
	addr, host, base string

	mu   sync.Mutex
	idle []*postConn // the last used is the last
}

// maxKept is how long a connection may wait for its next request: less than the
// agent lets it.
const maxKept = idleTime - 10*time.Second

func newPostPool(d *dialer, addr string, u *url.URL, base string) *postPool {
	return &postPool{dial: d.dial, addr: addr, host: hostHeader(u), base: base}
}

// hostHeader is what net/http makes of a URL's host in a request.
func hostHeader(u *url.URL) string {
	var text bytes.Buffer
	r := &http.Request{Method: http.MethodPost, URL: &url.URL{Scheme: "https", Host: u.Host, Path: "/"}}
	if err := r.Write(&text); err != nil {
		return u.Host
	}
	_, rest, _ := bytes.Cut(text.Bytes(), []byte("\r\nHost: "))
	host, _, _ := bytes.Cut(rest, lineEnd)
	return string(host)
}

// attempt is one round trip. Its error is errKept when x was not answered
// because of a kept connection's end.
func (p *postPool) attempt(ctx context.Context, x exchange, token string) (*answered, error) {
	c, err := p.take(ctx, x.timeout)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.addr, err)
	}
	stop := context.AfterFunc(ctx, func() { c.conn.Close() })
	a, keep, err := c.roundTrip(p.host, p.base+x.target, token, x)
	// A caller may end its context once it is answered.
	return p.settle(ctx, c, a, token, stop() && keep, err)
}

// finish is attempt for a request that was written, or not wholly.
func (p *postPool) finish(ctx context.Context, c *postConn, written error, token string) (*answered, error) {
	stop := context.AfterFunc(ctx, func() { c.conn.Close() })
	a, keep, err := c.conclude(written)
	return p.settle(ctx, c, a, token, stop() && keep, err)
}

// settle keeps the connection of a round trip, or closes it.
func (p *postPool) settle(ctx context.Context, c *postConn, a *answered, token string, keep bool, err error) (*answered, error) {
	switch {
	case err != nil:
		c.close()
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		} else if err == errKept {
			p.closeIdle() // they are likely dead too
		}
		return nil, fmt.Errorf("%s: %w", p.addr, err)
	case keep:
		p.put(c)
	default:
		c.close()
	}
	a.token = token
	return a, nil
}

// take returns a connection, a kept one if there is one.
func (p *postPool) take(ctx context.Context, timeout time.Duration) (*postConn, error) {
	if c := p.takeIdle(); c != nil {
		return c, nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, errNoAnswer)
	defer cancel()
	conn, err := p.dial(ctx, "tcp", p.addr)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, err
	}
	return newPostConn(conn), nil
}

// takeIdle returns a kept connection, or nil.
func (p *postPool) takeIdle() *postConn {
	p.mu.Lock()
	n := len(p.idle)
	if n == 0 {
		p.mu.Unlock()
		return nil
	}
	c := p.idle[n-1]
	p.idle = p.idle[:n-1]
	p.mu.Unlock()
	if time.Since(c.since) < maxKept {
		return c
	}
	c.close()
	p.closeIdle() // they wait for longer still
	return nil
}

// untake undoes takeIdle.
func (p *postPool) untake(c *postConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = append(p.idle, c)
}

// hasIdle says whether a request would find a connection.
func (p *postPool) hasIdle() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.idle) > 0
}

func (p *postPool) put(c *postConn) {
	c.kept, c.since = true, time.Now()
	p.mu.Lock()
	keep := len(p.idle) <= maxBulkPosts
	if keep {
		p.idle = append(p.idle, c)
	}
	p.mu.Unlock()
	if !keep {
		c.close()
	}
}

// closeIdle closes the connections that no request uses.
func (p *postPool) closeIdle() {
	p.mu.Lock()
	idle := p.idle
	p.idle = nil
	p.mu.Unlock()
	for _, c := range idle {
		c.close()
	}
}
