package shellhttp

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"time"
)

// Server is net/http's, and beside it what serves input and control requests on
// connections that have shown to be our client's: see promptConn. Its methods are
// as http.Server's.
type Server struct {
	*http.Server
	handler *Handler
	prompt  *promptConns
	back    sync.Once
}

// Serve serves the connections of l until the server is shut down or closed.
func (s *Server) Serve(l net.Listener) error {
	s.takeBack()
	return s.Server.Serve(l)
}

// ServeTLS is Serve for TLS.
func (s *Server) ServeTLS(l net.Listener, certFile, keyFile string) error {
	s.takeBack()
	return s.Server.ServeTLS(l, certFile, keyFile)
}

// takeBack serves what is given back, in the same way.
func (s *Server) takeBack() {
	s.back.Do(func() { go s.Server.Serve(s.prompt) })
}

// Shutdown stops accepting, lets requests end, and closes connections. The error is
// ctx's when that ended before.
func (s *Server) Shutdown(ctx context.Context) error {
	s.prompt.stop()
	err := s.Server.Shutdown(ctx)
	select {
	case <-s.prompt.empty():
	case <-ctx.Done():
		return ctx.Err()
	}
	return err
}

// Close closes all connections at once.
func (s *Server) Close() error {
	s.prompt.stop()
	err := s.Server.Close()
	s.prompt.cut()
	return err
}

// promptConns are the connections that are not net/http's at the moment, and the
// listener that it gets them back from.
type promptConns struct {
	conns  chan net.Conn
	ending chan struct{} // closed by stop

	mu    sync.Mutex
	all   map[*promptConn]struct{}
	ended bool
	none  chan struct{} // closed when ended and all is empty
}

var _ net.Listener = (*promptConns)(nil)

func newPromptConns() *promptConns {
	return &promptConns{
		conns: make(chan net.Conn), ending: make(chan struct{}),
		all: make(map[*promptConn]struct{}), none: make(chan struct{}),
	}
}

func (c *promptConns) enter(p *promptConn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return false
	}
	c.all[p] = struct{}{}
	return true
}

func (c *promptConns) leave(p *promptConn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.all, p)
	c.settle()
}

// settle tells that nothing is left; c.mu is held.
func (c *promptConns) settle() {
	if c.ended && len(c.all) == 0 {
		select {
		case <-c.none:
		default:
			close(c.none)
		}
	}
}

// stop has nothing more begun: who waits for a request ends, and others when they
// have answered theirs.
func (c *promptConns) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ended {
		c.ended = true
		close(c.ending)
	}
	for p := range c.all {
		if p.idle.Load() {
			p.conn.SetReadDeadline(time.Unix(1, 0))
		}
	}
	c.settle()
}

// cut closes what is left.
func (c *promptConns) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for p := range c.all {
		p.cancel()
		below(p.conn).Close()
	}
}

func (c *promptConns) empty() <-chan struct{} { return c.none }

func (c *promptConns) left() bool {
	select {
	case <-c.ending:
		return true
	default:
		return false
	}
}

// giveBack gives net/http a connection, and what was read of it; false means that
// it takes none any more.
func (c *promptConns) giveBack(conn net.Conn, read []byte) bool {
	conn.SetDeadline(time.Time{})
	b := &givenBack{Conn: conn, read: append([]byte(nil), read...)}
	select {
	case c.conns <- b:
		return true
	case <-c.ending:
		return false
	}
}

// Accept implements [net.Listener].
func (c *promptConns) Accept() (net.Conn, error) {
	select {
	case conn := <-c.conns:
		return conn, nil
	case <-c.ending:
		return nil, net.ErrClosed
	}
}

// Close implements [net.Listener].
func (c *promptConns) Close() error {
	c.stop()
	return nil
}

// Addr implements [net.Listener].
func (c *promptConns) Addr() net.Addr { return &net.UnixAddr{Name: "given back", Net: "prompt"} }

// givenBack is a connection of which something was read already.
type givenBack struct {
	net.Conn
	read []byte
}

// unwrapped is a connection of which nothing is read already, as it was before it
// was given back.
func unwrapped(c net.Conn) net.Conn {
	if g, ok := c.(*givenBack); ok && len(g.read) == 0 {
		return g.Conn
	}
	return c
}

// Read implements [net.Conn].
func (g *givenBack) Read(p []byte) (int, error) {
	if len(g.read) == 0 {
		return g.Conn.Read(p)
	}
	n := copy(p, g.read)
	if g.read = g.read[n:]; len(g.read) == 0 {
		g.read = nil
	}
	return n, nil
}

// NetConn is the connection that carries TLS, or this one's.
func (g *givenBack) NetConn() net.Conn {
	if t, ok := g.Conn.(*tls.Conn); ok {
		return t.NetConn()
	}
	return g.Conn
}
