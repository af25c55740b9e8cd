package front

import (
	"net"
	"sync"

	"golang.org/x/sys/unix"

	"shellagent/broker"
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
	n := (int(min(files, 1<<20)) - setup.MaxCalls - own) / 2
	return min(max(n, own), maxClientsEver)
}

// gate holds one element for each connection of a client.
type gate chan struct{}

func newGate(n int) gate { return make(gate, n) }

// limitedListener accepts while there is room: beyond that connections wait in
// the socket instead of costing descriptors that live sessions need.
type limitedListener struct {
	*net.TCPListener
	clients gate
	closing sync.Once
	closed  chan struct{}
}

// Accept implements [net.Listener].
func (l *limitedListener) Accept() (net.Conn, error) {
	select {
	case l.clients <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.AcceptTCP()
	if err != nil {
		<-l.clients
		return nil, err
	}
	limitUnsent(c)
	return &client{TCPConn: c, leave: sync.OnceFunc(func() { <-l.clients })}, nil
}

// unsentBytes is how much a slow client may hold in the kernel beyond what is
// on its way: what waits there delays the answer to a Ctrl-C. It does not bound
// what is on its way, which a long path needs (TCP_NOTSENT_LOWAT, tcp(7)).
const unsentBytes = 128 << 10

func limitUnsent(c *net.TCPConn) {
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		// An error costs promptness only.
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsentBytes)
	})
}

// Close implements [net.Listener].
func (l *limitedListener) Close() error {
	l.closing.Do(func() { close(l.closed) })
	return l.TCPListener.Close()
}

// client is a connection that counts.
type client struct {
	*net.TCPConn
	leave func()
}

// Close implements [net.Conn].
func (c *client) Close() error {
	defer c.leave()
	return c.TCPConn.Close()
}
