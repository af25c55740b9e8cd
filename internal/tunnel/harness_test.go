//go:build linux

package tunnel

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"shellagent/internal/forward"
	"shellagent/internal/forwardd"
	"shellagent/internal/sshargs"
	"shellagent/shell"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen.
const patience = 30 * time.Second

// rules is who decides at the agent: nothing with "denied" in its name is allowed.
type rules struct{}

func (rules) Ask(_ context.Context, q forwardd.Question) (forwardd.Permit, error) {
	if strings.Contains(q.Host+q.Path, "denied") {
		return forwardd.Permit{}, &forward.Refusal{Code: forward.CodeDenied, Detail: "the source does not allow it"}
	}
	return forwardd.Permit{Lookup: q.Host != "" && q.Host != "*" && q.Addresses == nil, Addresses: q.Addresses}, nil
}

func (rules) Ended(forwardd.Question, forwardd.End) {}

// wire is a session whose program is a connection.
type wire struct {
	conn *net.TCPConn
	end  uint64
	buf  []byte
	exit shell.Exit

	mu    sync.Mutex
	acked uint64
}

func (w *wire) Next(ctx context.Context) (shell.Frame, error) {
	defer context.AfterFunc(ctx, func() { _ = w.conn.SetReadDeadline(time.Now()) })()
	n, err := w.conn.Read(w.buf)
	w.end += uint64(n)
	switch {
	case n > 0:
		return shell.Frame{Type: shell.FrameStdout, End: w.end, Data: w.buf[:n]}, nil
	case ctx.Err() != nil:
		return shell.Frame{}, context.Cause(ctx)
	case errors.Is(err, io.EOF):
		data, err := json.Marshal(w.exit)
		return shell.Frame{Type: shell.FrameExit, End: w.end, Data: data}, err
	}
	return shell.Frame{}, err
}

func (w *wire) Write(p []byte) (int, error) { return w.conn.Write(p) }
func (w *wire) CloseWrite() error           { return w.conn.CloseWrite() }
func (w *wire) Close() error                { return w.conn.Close() }

func (w *wire) Ack(end uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.acked = max(w.acked, end)
}

// connected returns two ends of one connection.
func connected(t *testing.T) (a, b *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	one, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	other, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return one.(*net.TCPConn), other.(*net.TCPConn)
}

// events are what a test's set has told.
type events struct {
	mu      sync.Mutex
	changed chan struct{}
	all     []Event
}

func (e *events) tell(event Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, event)
	close(e.changed)
	e.changed = make(chan struct{})
}

// await returns the first event of a kind.
func (e *events) await(t *testing.T, kind EventKind) Event {
	t.Helper()
	late := time.After(patience)
	for {
		e.mu.Lock()
		changed := e.changed
		for _, event := range e.all {
			if event.Kind == kind {
				e.mu.Unlock()
				return event
			}
		}
		e.mu.Unlock()
		select {
		case <-changed:
		case <-late:
			t.Fatalf("nothing is told as %s", kind)
		}
	}
}

// newSet returns a set whose agent is in this process.
func newSet(t *testing.T, cfg Config) (*Set, *events) {
	t.Helper()
	here, there := connected(t)
	served := make(chan struct{})
	go func() {
		defer close(served)
		if err := forwardd.Serve(context.Background(), there, rules{}); err != nil {
			t.Errorf("the agent's end: %v", err)
		}
	}()
	link, err := NewLink(&wire{conn: here, buf: make([]byte, 64<<10)}, func(text string, _ bool) { t.Log("told:", text) })
	if err != nil {
		t.Fatal(err)
	}
	told := &events{changed: make(chan struct{})}
	if cfg.Told == nil {
		cfg.Told = told.tell
	}
	s := NewSet(link, cfg)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		<-served
	})
	return s, told
}

// echoes listens and sends back what it gets, with a word before it.
func echoes(t *testing.T, network, address string) net.Listener {
	t.Helper()
	return answering(t, network, address, func(conn net.Conn) {
		_, _ = io.WriteString(conn, "echo:")
		_, _ = io.Copy(conn, conn)
	})
}

// answering has each connection answered in a goroutine of its own.
func answering(t *testing.T, network, address string, answer func(net.Conn)) net.Listener {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { defer conn.Close(); answer(conn) })
		}
	})
	t.Cleanup(func() { l.Close(); running.Wait() })
	return l
}

func endpoint(l net.Listener) sshargs.Endpoint {
	if a, ok := l.Addr().(*net.TCPAddr); ok {
		return sshargs.Endpoint{Host: a.IP.String(), Port: a.Port}
	}
	return sshargs.Endpoint{Path: l.Addr().String()}
}

// dial connects to where something listens.
func dial(t *testing.T, at sshargs.Endpoint) net.Conn {
	t.Helper()
	network, address := "tcp", net.JoinHostPort("127.0.0.1", at.String()[strings.LastIndexByte(at.String(), ':')+1:])
	if at.Path != "" {
		network, address = "unix", at.Path
	}
	conn, err := net.DialTimeout(network, address, patience)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { conn.Close() })
	return conn
}

// exchange says something, ends its side, and wants it back.
func exchange(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	go func() {
		_, _ = io.WriteString(conn, text)
		_ = conn.(interface{ CloseWrite() error }).CloseWrite()
	}()
	got, err := io.ReadAll(conn)
	if err != nil || string(got) != "echo:"+text {
		t.Errorf("it answers %d bytes, %v; want %d", len(got), err, len(text)+5)
	}
}
