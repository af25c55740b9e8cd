package tunnel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"shellagent/internal/forward"
	"shellagent/internal/sshargs"
)

// Config says how forwarded connections are carried. The zero value listens on
// loopback addresses alone, where nothing else is said.
type Config struct {
	// Gateway has what listens here without an address do so on all of them.
	Gateway bool
	// Network is "tcp4" or "tcp6" to listen here on addresses of that kind alone.
	Network string
	// Mask is the umask that Unix sockets are made with, here; 0 is 0177.
	Mask int
	// Unlink removes a Unix socket that is in the way of another, at both ends.
	Unlink bool
	// Permit is where remote forwards may lead that are dynamic.
	Permit sshargs.Permit
	// Dial connects to where remote forwards lead; nil is as usual.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Told is told what becomes of connections, from many goroutines. Nil is nobody.
	Told func(Event)
}

// EventKind is what became of a connection.
type EventKind string

// The kinds. What failed was never open.
const (
	Opened EventKind = "open"
	Failed EventKind = "failed"
	Closed EventKind = "closed"
)

// Event tells of a connection.
type Event struct {
	Kind EventKind
	Connection
	// Sent and Received are bytes to and from the agent; of one that is closed.
	Sent, Received uint64
	// Err is why it failed or broke.
	Err error
}

// Connection is one that is forwarded.
type Connection struct {
	// ID counts from 1.
	ID uint64
	// Forward is what listens: "-L 8080:db:5432".
	Forward string
	// From is the other end of what came in, if it is known, To is where it leads.
	From, To string
	Since    time.Time
}

// Set is what is forwarded over one link. It is safe for concurrent use.
type Set struct {
	cfg  Config
	link *Link
	ctx  context.Context
	stop context.CancelFunc

	running sync.WaitGroup

	mu     sync.Mutex
	idle   sync.Cond // there are no connections
	open   map[uint64]*Connection
	last   uint64
	closed bool
	lines  map[string][]io.Closer // what listens, by the forward's name
}

// NewSet forwards over a link, which it owns from then on.
func NewSet(link *Link, cfg Config) *Set {
	if cfg.Dial == nil {
		cfg.Dial = (&net.Dialer{Timeout: dialTime}).DialContext
	}
	if cfg.Told == nil {
		cfg.Told = func(Event) {}
	}
	s := &Set{cfg: cfg, link: link, open: make(map[uint64]*Connection), lines: make(map[string][]io.Closer)}
	s.idle.L = &s.mu
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s
}

// dialTime bounds how long a remote forward's destination may take.
const dialTime = 30 * time.Second

// Link returns what the set goes over.
func (s *Set) Link() *Link { return s.link }

// Close ends all connections and the link, within seconds.
func (s *Set) Close() error {
	s.mu.Lock()
	s.closed = true
	for name := range s.lines {
		s.unlisten(name)
	}
	s.mu.Unlock()
	s.stop()
	err := s.link.Close()
	s.running.Wait()
	return err
}

// Finish waits until no connection is open, and then for the agent's end to bring
// what it was given to its destinations. It returns ctx's error when that ends
// before. Close the set in any case.
func (s *Set) Finish(ctx context.Context) error {
	if err := s.Wait(ctx); err != nil {
		return err
	}
	return s.link.Finish(ctx)
}

// Name is what a forward is called in events: its option.
func Name(d sshargs.Direction, f sshargs.Forward) string { return fmt.Sprintf("-%c %s", d, f) }

// ErrNotListening says that there is no such forward.
var ErrNotListening = errors.New("nothing listens for that")

// Cancel ends what listens for a forward, by its name. Connections that came in stay.
func (s *Set) Cancel(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.lines[name]) == 0 {
		return fmt.Errorf("%s: %w", name, ErrNotListening)
	}
	s.unlisten(name)
	return nil
}

// Listening returns the names of the forwards that are listened for, in no order.
func (s *Set) Listening() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.lines))
}

// listens keeps what listens for a forward, until it is cancelled or the set closed.
func (s *Set) listens(name string, line io.Closer) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		line.Close()
		return ErrOver
	}
	s.lines[name] = append(s.lines[name], line)
	return nil
}

// unlisten is for who holds s.mu.
func (s *Set) unlisten(name string) {
	for _, line := range s.lines[name] {
		line.Close()
	}
	delete(s.lines, name)
}

// Connections returns those that are open, or are being opened, in no order.
func (s *Set) Connections() []Connection {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Connection, 0, len(s.open))
	for _, c := range s.open {
		all = append(all, *c)
	}
	return all
}

// Wait returns when there are no connections, or with ctx's error, or with why the
// link has ended.
func (s *Set) Wait(ctx context.Context) error {
	over := false
	wake := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		over = true
		s.idle.Broadcast()
	}
	defer context.AfterFunc(ctx, wake)()
	done := make(chan struct{})
	defer close(done)
	go func() {
		select {
		case <-s.link.Done():
			wake()
		case <-done:
		}
	}()
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.open) > 0 && !over {
		s.idle.Wait()
	}
	switch {
	case len(s.open) == 0:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return s.link.Err()
}

var errLimit = fmt.Errorf("there are %d connections already", forward.MaxStreams)

// begin counts a connection in. More than there may be are told as failed.
func (s *Set) begin(forwarded, from, to string) (*Connection, error) {
	s.mu.Lock()
	s.last++
	c := &Connection{ID: s.last, Forward: forwarded, From: from, To: to, Since: time.Now()}
	full := len(s.open) >= forward.MaxStreams
	if !full {
		s.open[c.ID] = c
	}
	s.mu.Unlock()
	if full {
		s.cfg.Told(Event{Kind: Failed, Connection: *c, Err: errLimit})
		return nil, errLimit
	}
	return c, nil
}

// leads says where a connection leads that said so itself.
func (s *Set) leads(c *Connection, to sshargs.Endpoint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.To = to.String()
}

func (s *Set) failed(c *Connection, err error) {
	s.end(c)
	if s.ctx.Err() == nil {
		s.cfg.Told(Event{Kind: Failed, Connection: *c, Err: err})
	}
}

// splice carries a connection to its end.
func (s *Set) splice(c *Connection, here forward.Conn, stream *forward.Stream) {
	s.cfg.Told(Event{Kind: Opened, Connection: *c})
	sent, received, err := forward.Splice(here, stream)
	s.end(c)
	if errors.Is(err, io.ErrClosedPipe) || s.ctx.Err() != nil {
		err = nil
	}
	s.cfg.Told(Event{Kind: Closed, Connection: *c, Sent: sent, Received: received, Err: err})
}

func (s *Set) end(c *Connection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c.ID)
	if len(s.open) == 0 {
		s.idle.Broadcast()
	}
}
