package shellhttp

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// cutProxy forwards connections and breaks them when told to.
type cutProxy struct {
	l      net.Listener
	target string
	dials  atomic.Int32

	mu    sync.Mutex
	conns map[net.Conn]bool
	limit int64 // bytes from the server after which a connection breaks; 0 for none
	shut  bool  // connections are taken and broken at once
	wait  sync.WaitGroup
}

// proxied puts a cutProxy in front of s and makes its clients use it.
func proxied(t *testing.T, s *testServer) *cutProxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &cutProxy{l: l, target: s.addr, conns: map[net.Conn]bool{}}
	s.addr = l.Addr().String()
	p.wait.Add(1)
	go p.accept()
	t.Cleanup(func() {
		l.Close()
		p.cut()
		p.wait.Wait()
	})
	return p
}

func (p *cutProxy) accept() {
	defer p.wait.Done()
	for {
		down, err := p.l.Accept()
		if err != nil {
			return
		}
		p.dials.Add(1)
		p.mu.Lock()
		shut := p.shut
		p.mu.Unlock()
		if shut {
			down.Close()
			continue
		}
		up, err := net.Dial("tcp", p.target)
		if err != nil {
			down.Close()
			continue
		}
		p.mu.Lock()
		// A cut that came meanwhile has not seen this connection.
		if p.shut {
			p.mu.Unlock()
			down.Close()
			up.Close()
			continue
		}
		p.conns[down], p.conns[up] = true, true
		limit := p.limit
		p.mu.Unlock()
		p.wait.Add(2)
		go p.copy(up, down, 0)
		go p.copy(down, up, limit)
	}
}

func (p *cutProxy) copy(to, from net.Conn, limit int64) {
	defer p.wait.Done()
	var r io.Reader = from
	if limit > 0 {
		r = io.LimitReader(from, limit)
	}
	io.Copy(to, r)
	p.drop(to)
	p.drop(from)
}

func (p *cutProxy) drop(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
	c.Close()
}

// cut breaks all connections at once, without good-bye.
func (p *cutProxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
		delete(p.conns, c)
	}
}

// limitTo breaks every new connection after n bytes from the server.
func (p *cutProxy) limitTo(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.limit = n
}

// refuse makes the proxy one that has lost the server.
func (p *cutProxy) refuse(yes bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shut = yes
}
