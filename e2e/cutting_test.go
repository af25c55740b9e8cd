package e2e

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// cutting is a TCP proxy on loopback that breaks the connections through it.
type cutting struct {
	listener *net.TCPListener
	to       string
	faults   faults
	armed    atomic.Bool
	out      atomic.Bool  // connections are taken and broken at once
	answers  atomic.Int64 // small ones
	made     atomic.Int64 // cuts
	silenced atomic.Int64 // connections that hang
	accepted atomic.Int64 // connections
	wg       sync.WaitGroup

	mu    sync.Mutex
	conns map[*net.TCPConn]bool
}

// faults are what happens to connections.
type faults struct {
	// cuts is how many connections, about, break after a random number of bytes, most
	// of them after few.
	cuts int
	// life is how long any connection lasts; 0 is no end.
	life time.Duration
	// swallow, unless 0, has each small answer of that number be lost: with its
	// connection, or, when hang says so, with nothing but silence after it.
	swallow int64
	hang    bool
}

func newCutting(t *testing.T, port int, f faults) *cutting {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	c := &cutting{listener: l, to: fmt.Sprintf("127.0.0.1:%d", port), faults: f, conns: make(map[*net.TCPConn]bool)}
	c.wg.Go(c.serve)
	t.Cleanup(func() {
		l.Close()
		c.cutAll()
		c.wg.Wait()
	})
	return c
}

// arm begins with the faults; what connects earlier is spared.
func (c *cutting) arm() {
	c.armed.Store(true)
}

func (c *cutting) port() int { return c.listener.Addr().(*net.TCPAddr).Port }

func (c *cutting) serve() {
	for {
		down, err := c.listener.AcceptTCP()
		if err != nil {
			return
		}
		c.accepted.Add(1)
		if c.out.Load() {
			down.Close()
			continue
		}
		up, err := net.Dial("tcp", c.to)
		if err != nil {
			down.Close()
			continue
		}
		p := &pair{all: c, down: down, up: up.(*net.TCPConn)}
		c.mu.Lock()
		c.conns[p.down], c.conns[p.up] = true, true
		c.mu.Unlock()
		if c.armed.Load() && c.made.Load() < int64(c.faults.cuts) {
			p.plan()
		}
		if c.faults.life > 0 && c.armed.Load() {
			time.AfterFunc(c.faults.life, p.cut)
		}
		c.wg.Go(func() { p.copy(p.up, p.down, &p.upLeft, false) })
		c.wg.Go(func() { p.copy(p.down, p.up, &p.downLeft, true) })
	}
}

// cutAll breaks every connection there is.
func (c *cutting) cutAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.conns {
		_ = conn.SetLinger(0)
		conn.Close()
	}
	clear(c.conns)
}

// pair is one connection through the proxy.
type pair struct {
	all              *cutting
	down, up         *net.TCPConn
	upLeft, downLeft int64 // bytes until it breaks; 0 for never
	once             sync.Once
	bulk             atomic.Bool // large answers have been seen
}

// plan has the pair break after 1 byte to 1 MiB, whichever direction is there
// first. Many of the pairs break early: each order of magnitude is as likely as
// any other, so that handshakes and heads are cut as often as bulk.
func (p *pair) plan() {
	for _, left := range []*int64{&p.upLeft, &p.downLeft} {
		if *left = 1 + rand.Int64N(1<<20); rand.IntN(4) == 0 {
			*left = 1<<rand.IntN(20) + rand.Int64N(64)
		}
	}
}

// cut breaks the pair, with a reset or with an end that looks orderly.
func (p *pair) cut() {
	p.once.Do(func() {
		p.all.made.Add(1)
		reset := rand.IntN(2) == 0
		p.end(reset)
	})
}

func (p *pair) end(reset bool) {
	p.all.mu.Lock()
	defer p.all.mu.Unlock()
	for _, conn := range []*net.TCPConn{p.down, p.up} {
		if reset {
			_ = conn.SetLinger(0)
		}
		conn.Close()
		delete(p.all.conns, conn)
	}
}

func (p *pair) copy(to, from *net.TCPConn, left *int64, answer bool) {
	defer p.once.Do(func() { p.end(false) })
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		p.bulk.CompareAndSwap(false, answer && n > 8<<10)
		if answer && n < 1<<10 && p.all.armed.Load() && !p.bulk.Load() && p.all.faults.swallow > 0 &&
			p.all.answers.Add(1)%p.all.faults.swallow == 0 {
			if p.all.faults.hang {
				p.all.silenced.Add(1)
				_, _ = io.Copy(io.Discard, from)
				return
			}
			p.cut()
			return
		}
		if *left > 0 && int64(n) >= *left {
			_, _ = to.Write(buf[:*left])
			p.cut()
			return
		}
		if *left > 0 {
			*left -= int64(n)
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}
