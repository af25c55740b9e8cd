package broker

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"shellagent/shell"
)

type handlerFunc func(context.Context, *shell.Call) *shell.Reply

func (f handlerFunc) Handle(ctx context.Context, c *shell.Call) *shell.Reply { return f(ctx, c) }

// link is a client whose connections a handler serves.
type link struct {
	*CallClient
	cancel context.CancelFunc
	served sync.WaitGroup
	dialed atomic.Int32
	errs   chan error
}

func newLink(t testing.TB, limit int, h Handler) *link {
	ctx, cancel := context.WithCancel(context.Background())
	l := &link{cancel: cancel, errs: make(chan error, 1024)}
	l.CallClient = NewCallClient(func(context.Context) (*net.UnixConn, error) {
		l.dialed.Add(1)
		front, broker, err := connPair()
		if err != nil {
			return nil, err
		}
		l.served.Go(func() { l.errs <- ServeConn(ctx, broker, h) })
		return front, nil
	}, limit)
	t.Cleanup(l.end)
	return l
}

func (l *link) end() {
	l.CallClient.Close()
	l.cancel()
	l.served.Wait()
}

func echo(_ context.Context, c *shell.Call) *shell.Reply {
	body, err := io.ReadAll(c.Body)
	if err != nil {
		return &shell.Reply{Status: 500, Detail: err.Error()}
	}
	return &shell.Reply{Status: 200, Code: c.Method, Detail: c.Target + " " + c.Remote.String(), Nonce: c.Token, Body: body}
}

func post(body []byte) *shell.Call {
	return &shell.Call{
		Method: "POST", Target: "/v1/x", Token: "t.o.k",
		Remote: netip.MustParseAddrPort("192.0.2.1:9"), Size: len(body), Body: bytes.NewReader(body),
	}
}

func BenchmarkCall(b *testing.B) {
	for _, size := range []int{0, 64, 64 << 10, 512 << 10} {
		b.Run(map[int]string{0: "empty", 64: "key", 64 << 10: "bulk", 512 << 10: "placed"}[size], func(b *testing.B) {
			sink := make([]byte, 512<<10)
			l := newLink(b, 4, handlerFunc(func(_ context.Context, c *shell.Call) *shell.Reply {
				_, _ = io.ReadFull(c.Body, sink[:c.Size])
				return &shell.Reply{Status: 200, Body: sink[:10]}
			}))
			body := bytes.NewReader(make([]byte, size))
			call := &shell.Call{
				Method: "POST", Target: "/v1/sessions/0123456789012345678901234567890123456789012/stdin",
				Token: strings.Repeat("x", 900), Remote: netip.MustParseAddrPort("192.0.2.1:9"), Size: size, Body: body,
			}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				body.Seek(0, io.SeekStart)
				if _, err := l.Call(b.Context(), call); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
