package front

import (
	"container/list"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"shellagent/broker"
	"shellagent/internal/bulk"
	"shellagent/internal/rawio"
	"shellagent/metrics/scrape"
)

// maxClientsEver bounds the clients' connections however many files may be
// open: each costs some 40 KiB of memory.
const maxClientsEver = 8 << 10

// maxClients is how many connections of clients leave enough descriptors for
// those to the broker: each client may hold a stream, besides the calls in
// progress.
func maxClients(setup broker.Setup) int {
	files := setup.NoFile
	if files == 0 {
		var l unix.Rlimit
		if unix.Getrlimit(unix.RLIMIT_NOFILE, &l) == nil {
			files = l.Cur
		}
	}
	const own = 64 // the runtime's, the control socket, the listeners
	if setup.Metrics {
		files -= min(files, 2*scrape.MaxConnections) // each with its call
	}
	n := (int(min(files, 1<<20)) - setup.MaxCalls - own) / 2
	return min(max(n, own), maxClientsEver)
}

// clients are the connections of clients, within a bound that strangers cannot
// use up. A connection is a stranger's until a request on it had a verified
// token. When there is no room for a new one, the stranger that has waited
// longest is closed for it: whoever keeps connections without a key loses
// them, and whoever has a key needs a moment to prove it. One address (or IPv6
// /64) has strangers for half of the room at most, so that it pushes out its
// own before anybody else's; those with a key who share it do not count.
type clients struct {
	limit, each int
	// shared are networks from which everybody comes: the trusted proxies.
	shared []netip.Prefix

	mu        sync.Mutex
	changed   *sync.Cond
	count     int
	strangers *list.List // of *client, the oldest first
	from      map[netip.Prefix]*list.List
}

func newClients(limit int, shared []netip.Prefix) *clients {
	c := &clients{
		limit: limit, each: max(limit/2, 1), shared: shared,
		strangers: list.New(), from: make(map[netip.Prefix]*list.List),
	}
	c.changed = sync.NewCond(&c.mu)
	return c
}

// client is a connection that counts.
type client struct {
	*net.TCPConn
	all  *clients
	home netip.Prefix
	in   net.Conn // the same connection
	out  bulk.Writer
	turn atomic.Pointer[func()] // of the handshake; see handshakes

	// Guarded by clients.mu: nil when this is no stranger (any more).
	inAll, inHome *list.Element
	left          bool
}

// Close implements [net.Conn].
func (c *client) Close() error {
	c.endTurn()
	c.all.leave(c)
	return c.TCPConn.Close()
}

// Read implements [net.Conn].
func (c *client) Read(p []byte) (int, error) { return c.in.Read(p) }

// Hold makes one write of the TLS records until Release.
func (c *client) Hold() { c.out.Hold() }

// Release undoes Hold.
func (c *client) Release() error { return c.out.Release() }

// Proven says that a request on this connection had a verified token.
func (c *client) Proven() {
	c.all.mu.Lock()
	defer c.all.mu.Unlock()
	c.all.forget(c)
}

// enter takes a connection in, and closes another's if there is no room.
func (a *clients) enter(conn *net.TCPConn) *client {
	c := &client{TCPConn: conn, all: a, home: a.home(conn)}
	c.in = rawio.NewConn(conn)
	c.out.To = c.in
	a.mu.Lock()
	a.count++
	c.inAll = a.strangers.PushBack(c)
	var out *client
	if c.home.IsValid() {
		l := a.from[c.home]
		if l == nil {
			l = list.New()
			a.from[c.home] = l
		}
		c.inHome = l.PushBack(c)
		if l.Len() > a.each {
			out = l.Front().Value.(*client)
		}
	}
	if out == nil && a.count > a.limit {
		out = a.strangers.Front().Value.(*client)
	}
	if out != nil {
		a.remove(out)
	}
	a.mu.Unlock()
	if out != nil {
		out.TCPConn.Close() // its server goroutine notices
	}
	return c
}

// wait returns when there is room for a connection, or somebody to close for
// it; false means that closed has become true.
func (a *clients) wait(closed *bool) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.count >= a.limit && a.strangers.Len() == 0 && !*closed {
		a.changed.Wait()
	}
	return !*closed
}

func (a *clients) leave(c *client) {
	a.mu.Lock()
	a.remove(c)
	a.mu.Unlock()
}

// remove takes a connection out, once. a.mu is held.
func (a *clients) remove(c *client) {
	a.forget(c)
	if !c.left {
		c.left = true
		a.count--
		a.changed.Broadcast()
	}
}

// forget makes a connection no stranger's. a.mu is held.
func (a *clients) forget(c *client) {
	if c.inAll == nil {
		return
	}
	a.strangers.Remove(c.inAll)
	if l := a.from[c.home]; c.inHome != nil {
		if l.Remove(c.inHome); l.Len() == 0 {
			delete(a.from, c.home)
		}
	}
	c.inAll, c.inHome = nil, nil
}

// home is the range of addresses that counts as one; the zero value for
// connections that are not held against an address.
func (a *clients) home(conn *net.TCPConn) netip.Prefix {
	remote, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	addr := remote.AddrPort().Addr()
	for _, p := range a.shared {
		if p.Contains(addr.Unmap().WithZone("")) {
			return netip.Prefix{}
		}
	}
	return broker.Neighbourhood(addr)
}

// limitedListener accepts connections into clients. When all of them have
// proven themselves, others wait in the socket instead of costing descriptors
// that live sessions need.
type limitedListener struct {
	*net.TCPListener
	clients *clients
	closed  bool // guarded by clients.mu
}

// Accept implements [net.Listener].
func (l *limitedListener) Accept() (net.Conn, error) {
	if !l.clients.wait(&l.closed) {
		return nil, net.ErrClosed
	}
	c, err := l.AcceptTCP()
	if err != nil {
		return nil, err
	}
	return l.clients.enter(c), nil
}

// Close implements [net.Listener].
func (l *limitedListener) Close() error {
	l.clients.mu.Lock()
	l.closed = true
	l.clients.changed.Broadcast()
	l.clients.mu.Unlock()
	return l.TCPListener.Close()
}
