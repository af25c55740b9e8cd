package shellhttp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"shellagent/shell"
)

// This file breaks one connection of a small session after every single byte
// that goes through it, in either direction: within a request's head, its body,
// an answer's head, the session event, output, the exit, an acknowledgement.
// There is no TLS in between, so that each cut is where it says.

// pipeListener hands out the server's ends of connections in memory.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

func (l *pipeListener) dial() (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case l.conns <- addressed{far}:
		return addressed{near}, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// addressed is a pipe with addresses as a socket's.
type addressed struct{ net.Conn }

func (addressed) LocalAddr() net.Addr  { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }
func (addressed) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 2} }

// cut is where a connection of a client breaks: the nth of those for streams,
// or for posts, after so many bytes of a direction.
type cut struct {
	posts bool
	nth   int32
	up    bool
	after int
}

func (c cut) String() string {
	kind, way := "stream", "down"
	if c.posts {
		kind = "post"
	}
	if c.up {
		way = "up"
	}
	return fmt.Sprintf("%s connection %d cut after %d bytes %s", kind, c.nth, c.after, way)
}

// cuttingConn is a client's connection that breaks where it is told to.
type cuttingConn struct {
	net.Conn
	upLeft, downLeft int // negative for no end
	up, down         *atomic.Int64
	made             *atomic.Bool
}

func (c *cuttingConn) Read(p []byte) (int, error) {
	if c.downLeft == 0 {
		c.broke()
		return 0, net.ErrClosed
	}
	if c.downLeft > 0 {
		p = p[:min(len(p), c.downLeft)]
	}
	n, err := c.Conn.Read(p)
	c.down.Add(int64(n))
	if c.downLeft > 0 {
		if c.downLeft -= n; c.downLeft == 0 {
			c.broke() // the server's next write fails, as on a dead connection
		}
	}
	return n, err
}

func (c *cuttingConn) Write(p []byte) (int, error) {
	if c.upLeft < 0 {
		n, err := c.Conn.Write(p)
		c.up.Add(int64(n))
		return n, err
	}
	n, err := c.Conn.Write(p[:min(len(p), c.upLeft)])
	if c.upLeft -= n; err == nil && c.upLeft == 0 {
		c.broke()
		err = net.ErrClosed
	}
	return n, err
}

func (c *cuttingConn) broke() {
	c.made.Store(true)
	c.Conn.Close()
}

// cutClient is a client over pipes whose connections break as told.
type cutClient struct {
	*Client
	made atomic.Bool
	// traffic is what went through, by posts or not, and the connection's number.
	mu      sync.Mutex
	traffic map[cut]*atomic.Int64
}

func newCutClient(t *testing.T, b *testBroker, l *pipeListener, enc Encoding, covered bool, where cut) *cutClient {
	t.Helper()
	s := &testServer{broker: b, addr: "127.0.0.1:1", tls: pinned(b.host.PublicKey())}
	c := &cutClient{
		Client:  s.client(t, func(cfg *ClientConfig) { cfg.Encoding, cfg.Cover = enc, covered }),
		traffic: map[cut]*atomic.Int64{},
	}
	// What is tested is that nothing is lost, not how soon a busy machine says so.
	c.Client.times.leave = 30 * time.Second
	// The connection for posts is not made ahead: its number would be left to chance.
	dial := func(posts bool) func(context.Context, string, string) (net.Conn, error) {
		var count atomic.Int32
		return func(context.Context, string, string) (net.Conn, error) {
			conn, err := l.dial()
			if err != nil {
				return nil, err
			}
			nth := count.Add(1)
			cc := &cuttingConn{Conn: conn, upLeft: -1, downLeft: -1, made: &c.made}
			if where.posts == posts && where.nth == nth && where.up {
				cc.upLeft = where.after
			} else if where.posts == posts && where.nth == nth {
				cc.downLeft = where.after
			}
			c.mu.Lock()
			cc.up, cc.down = new(atomic.Int64), new(atomic.Int64)
			c.traffic[cut{posts, nth, true, 0}], c.traffic[cut{posts, nth, false, 0}] = cc.up, cc.down
			c.mu.Unlock()
			return cc, nil
		}
	}
	c.streams.DialTLSContext, c.posts.dial = dial(false), dial(true)
	return c
}

// smallScript reads all input, answers on both outputs, and ends with 3.
func smallScript(p *memProgram) int {
	io.WriteString(p.outW, "ready\n")
	in, _ := io.ReadAll(p.in)
	fmt.Fprintf(p.outW, "read %q\n", in)
	if !p.terminal {
		io.WriteString(p.errW, "done\n")
	}
	return 3
}

// runSmall is one session from its open to its end. It returns what differs
// from a session on a perfect network.
func runSmall(c *cutClient, b *testBroker, term *shell.Terminal) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	session, err := c.Open(ctx, "small", shell.OpenRequest{Terminal: term})
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	core := b.registry.ByID(session.Info().ID)
	s := session.Lasting(nil)
	io.WriteString(s, "typed\n")
	s.CloseWrite()
	o, err := lastingOutput(s, nil)
	if err != nil {
		s.Close()
		return err
	}
	if err := s.Close(); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	want := "done\n"
	if term != nil {
		want = ""
	}
	if out := string(o.out); out != "ready\nread \"typed\\n\"\n" || string(o.err) != want || !strings.Contains(string(o.exit.Data), `"code":3`) {
		return fmt.Errorf("output %q, %q, exit %s", o.out, o.err, o.exit.Data)
	}
	select {
	case <-core.Gone():
		return nil
	case <-ctx.Done():
		return errors.New("the agent does not know that the exit has arrived")
	}
}

// everyCut returns all places where a session's connections can break, as a
// session that nothing happens to shows them.
func everyCut(t *testing.T, b *testBroker, l *pipeListener, enc Encoding, term *shell.Terminal, covered bool) []cut {
	c := newCutClient(t, b, l, enc, covered, cut{})
	if err := runSmall(c, b, term); err != nil {
		t.Fatalf("without a cut: %v", err)
	}
	var all []cut
	for k, n := range c.traffic {
		for after := range int(n.Load()) {
			k.after = after
			all = append(all, k)
		}
	}
	return all
}

// TestEveryCut explores all places without the race detector, and under it,
// unless there is time, every tenth.
func TestEveryCut(t *testing.T) {
	for name, enc := range encodings {
		for kind, term := range map[string]*shell.Terminal{"pipes": nil, "terminal": terminal, "terminal under cover": terminal} {
			covered := kind == "terminal under cover"
			t.Run(name+" "+kind, func(t *testing.T) {
				b := newTestBroker(t, map[string]script{"small": smallScript})
				l := newPipeListener()
				server := NewServer(NewHandler(HandlerConfig{Caller: b}), nil)
				served := make(chan struct{})
				go func() { defer close(served); server.Serve(l) }()
				defer func() { l.Close(); server.Close(); <-served }()

				all := everyCut(t, b, l, enc, term, covered)
				rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
				if underRace && os.Getenv("SHELLAGENT_SOAK") == "" {
					all = all[:len(all)/10]
				}
				began := time.Now()
				var next, made atomic.Int64
				var work sync.WaitGroup
				for range 24 {
					work.Go(func() {
						for i := next.Add(1) - 1; i < int64(len(all)) && !t.Failed(); i = next.Add(1) - 1 {
							c := newCutClient(t, b, l, enc, covered, all[i])
							if err := runSmall(c, b, term); err != nil {
								t.Errorf("%v: %v", all[i], err)
							}
							c.Close()
							if c.made.Load() {
								made.Add(1)
							}
						}
					})
				}
				work.Wait()
				if made.Load() < int64(len(all))*2/3 {
					t.Errorf("of %d cuts only %d were made", len(all), made.Load())
				}
				t.Logf("%d places, %d cuts in %v", len(all), made.Load(), time.Since(began))
			})
		}
	}
}
