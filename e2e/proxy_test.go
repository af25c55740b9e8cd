package e2e

import (
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// proxy is a TCP proxy on loopback that can be told to cut.
type proxy struct {
	listener net.Listener
	to       string
	mu       sync.Mutex
	conns    map[net.Conn]bool
	cut      func() bool
	done     atomic.Int32
	wg       sync.WaitGroup
}

func newProxy(t *testing.T, port int) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, to: fmt.Sprintf("127.0.0.1:%d", port), conns: make(map[net.Conn]bool)}
	p.wg.Add(1)
	go p.serve()
	t.Cleanup(func() { p.close(); p.wg.Wait() })
	return p
}

func (p *proxy) port() int { return p.listener.Addr().(*net.TCPAddr).Port }

func (p *proxy) serve() {
	defer p.wg.Done()
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		up, err := net.Dial("tcp", p.to)
		if err != nil {
			c.Close()
			continue
		}
		p.mu.Lock()
		p.conns[c], p.conns[up] = true, true
		p.mu.Unlock()
		p.wg.Add(2)
		go p.copy(up, c, false)
		go p.copy(c, up, true)
	}
}

// copy passes bytes on; those of the agent only as long as nothing is to be cut.
func (p *proxy) copy(to, from net.Conn, answer bool) {
	defer p.wg.Done()
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if answer && n > 0 && p.takeCut() {
			return
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			if err != io.EOF {
				return
			}
			return
		}
	}
}

// cutAnswer cuts, once, the connection on which the agent answers after when is true.
func (p *proxy) cutAnswer(when func() bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = when
}

func (p *proxy) takeCut() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cut == nil || !p.cut() {
		return false
	}
	p.cut = nil
	p.done.Add(1)
	return true
}

func (p *proxy) cuts() int { return int(p.done.Load()) }

// close ends the proxy and every connection through it.
func (p *proxy) close() {
	p.listener.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
	}
}

// targetPort points the client's target somewhere else; the host key is then
// known under another address, so the first contact is allowed again.
func (h *host) targetPort(port int) {
	h.writeJSON(h.client, object{
		"signingKeyPath": h.key,
		"targets":        object{"myhost": object{"hostname": "127.0.0.1", "port": port, "source": "debug"}},
	})
}
