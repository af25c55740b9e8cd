package broker

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"

	"golang.org/x/sys/unix"

	"shellagent/shell"
)

// rawConn is a connection to h that a test writes its own bytes to.
func rawConn(t testing.TB, h Handler) (front *net.UnixConn, served <-chan error) {
	front, broker, err := connPair()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		done <- ServeConn(ctx, broker, h)
	}()
	t.Cleanup(func() {
		front.Close()
		cancel()
		<-ended
	})
	return front, done
}

func message(t testing.TB, c *shell.Call) []byte {
	b, err := appendMessage(make([]byte, 0, lengthSize+maxHeader+maxInline), c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestFrontThatBreaksTheProtocol(t *testing.T) {
	length := func(n uint32, more ...byte) []byte {
		return append(binary.BigEndian.AppendUint32(nil, n), more...)
	}
	for name, sent := range map[string][]byte{
		"header over the bound":  length(maxHeader + 1),
		"header of 4 GiB":        length(1<<32 - 1),
		"empty header":           length(0),
		"nonsense":               length(8, 1, 2, 3, 4, 0, 0, 0, 0),
		"two calls at once":      append(message(t, post(nil)), message(t, post(nil))...),
		"more than the body":     append(message(t, post([]byte("abc"))), 'x'),
		"a large body too early": append(message(t, post(make([]byte, maxInline+1))), 'x'),
	} {
		front, served := rawConn(t, handlerFunc(func(context.Context, *shell.Call) *shell.Reply {
			t.Errorf("%s: reached the handler", name)
			return nil
		}))
		if _, err := front.Write(sent); err != nil {
			t.Fatal(err)
		}
		if err := <-served; !errors.Is(err, errCodec) {
			t.Errorf("%s: served with %v", name, err)
		}
	}
}

func TestDataDuringACall(t *testing.T) {
	entered := make(chan struct{})
	front, served := rawConn(t, handlerFunc(func(ctx context.Context, _ *shell.Call) *shell.Reply {
		close(entered)
		<-ctx.Done()
		return nil
	}))
	front.Write(message(t, post(nil)))
	<-entered
	front.Write([]byte{0})
	if err := <-served; !errors.Is(err, errCodec) {
		t.Errorf("served with %v", err)
	}
}

func TestHeaderByteByByte(t *testing.T) {
	front, _ := rawConn(t, handlerFunc(echo))
	for _, b := range message(t, post([]byte("abc"))) {
		if _, err := front.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	kind := make([]byte, 1)
	if _, err := io.ReadFull(front, kind); err != nil || kind[0] != answerReply {
		t.Errorf("answered %v, %v", kind, err)
	}
}

// FuzzServeConn sends arbitrary bytes: the broker neither panics nor hangs nor
// takes them for a call that they do not encode.
func FuzzServeConn(f *testing.F) {
	f.Add(message(f, post([]byte("abc"))))
	f.Add(append(message(f, post(nil)), message(f, post(nil))...))
	f.Add(append(message(f, post(make([]byte, maxInline+1))), make([]byte, maxInline+1)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		front, served := rawConn(t, handlerFunc(func(_ context.Context, c *shell.Call) *shell.Reply {
			again, err := appendCall(nil, c)
			if err != nil || !bytes.Contains(b, again) {
				t.Errorf("handler got a call that was not sent: %+v", c)
			}
			_, _ = io.Copy(io.Discard, c.Body)
			return &shell.Reply{Status: 200}
		}))
		if _, err := front.Write(b); err == nil {
			front.CloseWrite()
		}
		_, _ = io.Copy(io.Discard, front)
		<-served
	})
}

func TestStreamCopyAllocatesNothing(t *testing.T) {
	const size = 4000
	front, _ := rawConn(t, handlerFunc(func(context.Context, *shell.Call) *shell.Reply {
		return &shell.Reply{Status: 200, Stream: &fixedReads{size: size}}
	}))
	front.Write(message(t, &shell.Call{Method: "GET"}))
	buf := make([]byte, size)
	allocs := testing.AllocsPerRun(1000, func() {
		if _, err := io.ReadFull(front, buf); err != nil {
			t.Fatal(err)
		}
	})
	if allocs >= 1 {
		t.Errorf("%v allocations per frame", allocs)
	}
}

// BenchmarkStream measures the copy of a session's frames to the front.
func BenchmarkStream(b *testing.B) {
	for name, size := range map[string]int{"line": 100, "bulk": 32 << 10} {
		b.Run(name, func(b *testing.B) {
			frames := &fixedReads{size: size}
			front, _ := rawConn(b, handlerFunc(func(context.Context, *shell.Call) *shell.Reply {
				return &shell.Reply{Status: 200, Stream: frames}
			}))
			front.Write(message(b, &shell.Call{Method: "GET"}))
			buf := make([]byte, size)
			if _, err := io.ReadFull(front, buf[:20]); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := io.ReadFull(front, buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// fixedReads yields size bytes per Read, like a session that prints lines.
type fixedReads struct{ size int }

func (f *fixedReads) Read(p []byte) (int, error) { return min(f.size, len(p)), nil }
func (f *fixedReads) Close() error               { return nil }

// connPair returns the two ends of a connection.
func connPair() (front, broker *net.UnixConn, err error) {
	a, b, err := socketPair(unix.SOCK_STREAM)
	if err != nil {
		return nil, nil, err
	}
	if front, err = unixConn(a); err != nil {
		b.Close()
		return nil, nil, err
	}
	broker, err = unixConn(b)
	return front, broker, err
}
