package broker

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"shellagent/shell"
)

// watched is a front under test and what the broker saw of it.
type watched struct {
	*Front
	addr    string
	starts  atomic.Uint64
	ready   atomic.Uint64
	refused atomic.Uint64
	log     lockedBuffer
	ended   chan error
	cancel  context.CancelFunc

	mu   sync.Mutex
	said []string
}

type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

// Handle keeps what honest fronts say and answers their clients.
func (w *watched) Handle(_ context.Context, c *shell.Call) *shell.Reply {
	switch {
	case c.Method == "SAY":
		w.mu.Lock()
		defer w.mu.Unlock()
		w.said = append(w.said, c.Target)
	case c.Target == "panic":
		panic("as the test asked")
	}
	return &shell.Reply{Status: 200, Detail: "answer to " + c.Target}
}

func (w *watched) waitSaid(t *testing.T, want string) {
	t.Helper()
	eventually(t, "the front to say "+want, func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, s := range w.said {
			if s == want {
				return true
			}
		}
		return false
	})
}

// watch runs a front that acts as told.
func watch(t *testing.T, change func(*FrontConfig), act string, args ...string) *watched {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &watched{addr: l.Addr().String(), ended: make(chan error, 1)}
	cfg := FrontConfig{
		Listeners: []*net.TCPListener{l.(*net.TCPListener)},
		Handler:   w,
		Setup:     Setup{BasePath: "/base", Agent: []byte(`{"version":1}`), MaxCalls: 8},
		SignLeaf:  func(*ecdsa.PublicKey) ([][]byte, error) { return [][]byte{[]byte("leaf"), []byte("host")}, nil },
		Started:   func(uint64) { w.starts.Add(1) },
		Grace:     100 * time.Millisecond,
		Ready:     func() { w.ready.Add(1) },
		Refused:   func(_ shell.Reason, _ netip.Addr, n uint64) { w.refused.Add(n) },
		Log:       slog.New(slog.NewTextHandler(&w.log, nil)),
		Program:   frontProgram(act, args...),
	}
	if change != nil {
		change(&cfg)
	}
	if w.Front, err = NewFront(cfg); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel = cancel
	go func() { w.ended <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case <-w.ended:
		case <-time.After(20 * time.Second):
			t.Error("front does not end")
		}
		l.Close()
		if t.Failed() {
			t.Log(w.log.String())
		}
	})
	return w
}

// ask is what a client of the honest front does.
func (w *watched) ask(t *testing.T, what string) string {
	t.Helper()
	c, err := net.Dial("tcp", w.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(c, what)
	b, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func (w *watched) kill9(t *testing.T) {
	t.Helper()
	before := w.starts.Load()
	eventually(t, "a front to kill", func() bool { return w.PID() != 0 })
	if err := unix.Kill(w.PID(), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a new front", func() bool { return w.starts.Load() > before })
}
