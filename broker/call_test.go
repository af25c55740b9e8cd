package broker

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"shellagent/shell"
)

func TestCallsOfEverySize(t *testing.T) {
	l := newLink(t, 4, handlerFunc(echo))
	for _, size := range []int{0, 1, 100, serverBuffer, maxInline - 1, maxInline, maxInline + 1, 64 << 10, maxReplyBody} {
		body := make([]byte, size)
		rand.Read(body)
		r, err := l.Call(t.Context(), post(body))
		if err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		if r.Status != 200 || r.Code != "POST" || r.Detail != "/v1/x 192.0.2.1:9" || r.Nonce != "t.o.k" || !bytes.Equal(r.Body, body) {
			t.Errorf("%d bytes came back as %d %s %q, %d bytes", size, r.Status, r.Code, r.Detail, len(r.Body))
		}
	}
	if n := l.dialed.Load(); n != 1 {
		t.Errorf("%d connections for calls one after the other", n)
	}
}

// unread fails the test when somebody reads it.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body of a refused call was read")
	return 0, io.EOF
}

func TestRefusedBodyIsNeverSent(t *testing.T) {
	l := newLink(t, 4, handlerFunc(func(context.Context, *shell.Call) *shell.Reply {
		return refusalReply(shell.ReasonSignature)
	}))
	for range 3 {
		c := post(make([]byte, maxInline+1))
		c.Body = unread{t}
		r, err := l.Call(t.Context(), c)
		if err != nil || r.Status != 401 {
			t.Fatalf("%+v, %v", r, err)
		}
	}
	if n := l.dialed.Load(); n != 1 {
		t.Errorf("%d connections: an early refusal must leave its connection usable", n)
	}
}

func TestBodyCutOffByTheBroker(t *testing.T) {
	l := newLink(t, 4, handlerFunc(func(_ context.Context, c *shell.Call) *shell.Reply {
		_, _ = c.Body.Read(make([]byte, 10))
		return &shell.Reply{Status: 413, Body: make([]byte, maxReplyBody)}
	}))
	for range 20 {
		r, err := l.Call(t.Context(), post(make([]byte, shell.MaxCallBody)))
		if err != nil || r.Status != 413 || len(r.Body) != maxReplyBody {
			t.Fatalf("%+v, %v", r, err)
		}
	}
}

func TestBodyCutOffByTheClient(t *testing.T) {
	got := make(chan error, 1)
	l := newLink(t, 4, handlerFunc(func(_ context.Context, c *shell.Call) *shell.Reply {
		_, err := io.ReadAll(c.Body)
		got <- err
		return nil
	}))
	cut := errors.New("client went away")
	for _, size := range []int{100, 100 << 10} {
		c := post(make([]byte, size))
		c.Body = io.MultiReader(io.LimitReader(c.Body, int64(size-1)), failing{cut})
		if _, err := l.Call(t.Context(), c); !errors.Is(err, cut) {
			t.Errorf("%d bytes: %v, want the body's own error", size, err)
		}
	}
	if err := <-got; !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the broker read to %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestNilReplyIsInternal(t *testing.T) {
	l := newLink(t, 4, handlerFunc(func(context.Context, *shell.Call) *shell.Reply { return nil }))
	if r, err := l.Call(t.Context(), post(nil)); err != nil || r.Code != "internal" {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestOversizedReplyIsInternal(t *testing.T) {
	closed := make(chan struct{})
	l := newLink(t, 4, handlerFunc(func(context.Context, *shell.Call) *shell.Reply {
		return &shell.Reply{Status: 200, Detail: strings.Repeat("x", maxDetail+1), Stream: &blocked{closed: closed}}
	}))
	r, err := l.Call(t.Context(), post(nil))
	if err != nil || r.Code != "internal" || r.Stream != nil {
		t.Fatalf("%+v, %v", r, err)
	}
	<-closed
}

// blocked is a stream on which nothing happens until it is closed.
type blocked struct {
	once   sync.Once
	closed chan struct{}
}

func (b *blocked) Read([]byte) (int, error) { <-b.closed; return 0, io.EOF }
func (b *blocked) Close() error             { b.once.Do(func() { close(b.closed) }); return nil }

func TestStream(t *testing.T) {
	data := make([]byte, 3<<20)
	rand.Read(data)
	l := newLink(t, 1, handlerFunc(func(context.Context, *shell.Call) *shell.Reply {
		return &shell.Reply{Status: 200, Stream: io.NopCloser(struct{ io.Reader }{bytes.NewReader(data)})}
	}))
	// With room for one call, streams that have begun take none of it.
	var streams []io.ReadCloser
	for range 3 {
		r, err := l.Call(t.Context(), post(nil))
		if err != nil {
			t.Fatal(err)
		}
		streams = append(streams, r.Stream)
	}
	for _, s := range streams {
		got, err := io.ReadAll(s)
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		s.Close()
	}
}

func TestHangUpEndsTheStream(t *testing.T) {
	closed := make(chan struct{})
	l := newLink(t, 4, handlerFunc(func(context.Context, *shell.Call) *shell.Reply {
		return &shell.Reply{Status: 200, Stream: &blocked{closed: closed}}
	}))
	r, err := l.Call(t.Context(), post(nil))
	if err != nil {
		t.Fatal(err)
	}
	r.Stream.Close()
	<-closed
	if err := <-l.errs; err != nil {
		t.Errorf("a plain hang-up is reported as %v", err)
	}
}

func TestHangUpEndsTheCall(t *testing.T) {
	for _, size := range []int{0, 100, 100 << 10} {
		entered, left := make(chan struct{}), make(chan struct{})
		l := newLink(t, 4, handlerFunc(func(ctx context.Context, c *shell.Call) *shell.Reply {
			_, _ = io.Copy(io.Discard, c.Body)
			close(entered)
			<-ctx.Done()
			close(left)
			return nil
		}))
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-entered
			cancel()
		}()
		if _, err := l.Call(ctx, post(make([]byte, size))); err == nil {
			t.Error("a call outlived its context")
		}
		<-left
		l.end()
	}
}

func TestReaderThatNeverReadsStallsNobodyElse(t *testing.T) {
	l := newLink(t, 4, handlerFunc(func(_ context.Context, c *shell.Call) *shell.Reply {
		if c.Method == "GET" {
			return &shell.Reply{Status: 200, Stream: io.NopCloser(endless{})}
		}
		return &shell.Reply{Status: 200}
	}))
	var stalled []*shell.Reply
	for range 8 {
		r, err := l.Call(t.Context(), &shell.Call{Method: "GET"})
		if err != nil {
			t.Fatal(err)
		}
		stalled = append(stalled, r)
	}
	for range 100 {
		if _, err := l.Call(t.Context(), post(nil)); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range stalled {
		r.Stream.Close()
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestBrokerGoneIsUnavailable(t *testing.T) {
	l := newLink(t, 4, handlerFunc(echo))
	if _, err := l.Call(t.Context(), post(nil)); err != nil {
		t.Fatal(err)
	}
	l.cancel()
	l.served.Wait()
	for _, size := range []int{0, 100 << 10} {
		_, err := l.Call(t.Context(), post(make([]byte, size)))
		var denied *shell.Denied
		if !errors.As(err, &denied) || denied.Reason != shell.ReasonUnavailable {
			t.Errorf("%v, want unavailable", err)
		}
	}
	l.CallClient.Close()
	if _, err := l.Call(t.Context(), post(nil)); !errors.Is(err, errClientClosed) {
		t.Errorf("a closed client answers %v", err)
	}
}

func TestManyCallsAtOnce(t *testing.T) {
	l := newLink(t, 8, handlerFunc(echo))
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			for j := range 20 {
				body := bytes.Repeat([]byte{byte(i), byte(j)}, 1+i*j*9)
				r, err := l.Call(t.Context(), post(body))
				if err != nil || !bytes.Equal(r.Body, body) {
					t.Errorf("%d bytes: %v", len(body), err)
					return
				}
			}
		})
	}
	wg.Wait()
	if n := l.dialed.Load(); n > 8 {
		t.Errorf("%d connections, the limit is 8", n)
	}
}
