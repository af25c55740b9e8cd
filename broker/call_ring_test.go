package broker

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"testing"

	"golang.org/x/sys/unix"

	"shellagent/internal/rawio"
	"shellagent/shell"
	"shellagent/shell/shellhttp"
)

// flood is a stream that says that it is much. It comes in pieces of any size.
type flood struct{ io.Reader }

func (flood) Bulk() bool   { return true }
func (flood) Close() error { return nil }

func (f flood) Read(p []byte) (int, error) { return f.Reader.Read(p[:1+rand.IntN(len(p))]) }

// newFlood serves data as a stream.
func newFlood(t *testing.T, data []byte) (*link, io.ReadCloser) {
	t.Helper()
	l := newLink(t, 1, handlerFunc(func(context.Context, *shell.Call) *shell.Reply {
		return &shell.Reply{Status: 200, Stream: flood{bytes.NewReader(data)}}
	}))
	r, err := l.Call(t.Context(), post(nil))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Stream.Close() })
	return l, r.Stream
}

func noise(n int) []byte {
	data := make([]byte, n)
	random := rand.New(rand.NewPCG(3, 4))
	for i := 0; i+8 <= n; i += 8 {
		binary.LittleEndian.PutUint64(data[i:], random.Uint64())
	}
	return data
}

func TestMuchGoesThroughMemory(t *testing.T) {
	data := noise(12<<20 + 5)
	for _, in := range []struct {
		name string
		read func(*testing.T, *clientConn) []byte
	}{
		{"read into the reader's own", func(t *testing.T, c *clientConn) []byte {
			got, err := io.ReadAll(c)
			if err != nil {
				t.Error(err)
			}
			return got
		}},
		{"read a little at a time", func(t *testing.T, c *clientConn) []byte {
			got, err := io.ReadAll(struct{ io.Reader }{&smallReads{c, 700}})
			if err != nil {
				t.Error(err)
			}
			return got
		}},
		{"read where it lies, after a part was read", func(t *testing.T, c *clientConn) []byte {
			var got []byte
			for buf := make([]byte, 900); !c.Hold(); {
				n, err := c.Read(buf)
				if got = append(got, buf[:n]...); err != nil {
					t.Fatal(err)
				}
			}
			defer c.Drop()
			for {
				piece, err := c.Next()
				if err == io.EOF {
					return got
				}
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, piece[shellhttp.PieceRoom:len(piece)-shellhttp.PieceRoom]...)
				clear(piece)
			}
		}},
	} {
		t.Run(in.name, func(t *testing.T) {
			before := inside(rings)
			l, stream := newFlood(t, data)
			c := stream.(*clientConn)
			if got := in.read(t, c); !bytes.Equal(got, data) {
				t.Errorf("%d bytes of %d, or others", len(got), len(data))
			}
			if c.ringOf() == nil {
				t.Error("no memory was shared")
			}
			if err := <-l.errs; err != nil {
				t.Error(err)
			}
			if n := inside(rings); n != before {
				t.Errorf("%d rings are left, %d before", n, before)
			}
			stream.Close()
			if c.Hold() {
				t.Error("the memory is held after the end")
			}
		})
	}
}

type smallReads struct {
	io.Reader
	n int
}

func (s *smallReads) Read(p []byte) (int, error) { return s.Reader.Read(p[:min(s.n, len(p))]) }

// inside is how many there are.
func inside(c *crowd[struct{}]) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// filled leaves no room until the end of the test.
func filled(t *testing.T, c *crowd[struct{}]) {
	for c.enter(struct{}{}) {
		t.Cleanup(func() { c.leave(struct{}{}) })
	}
}

// What is a little, or no bulk, and what comes when there is enough shared memory
// already, goes over the socket.
func TestNoMemoryForALittle(t *testing.T) {
	check := func(stream io.ReadCloser, n int) {
		t.Helper()
		if got, err := io.Copy(io.Discard, stream); got != int64(n) || err != nil {
			t.Errorf("%d bytes, %v", got, err)
		}
		if stream.(*clientConn).ringOf() != nil {
			t.Error("memory is shared")
		}
	}
	data := noise(4 << 20)
	_, few := newFlood(t, data[:ringAfter/2])
	check(few, ringAfter/2)
	l := newLink(t, 1, handlerFunc(func(context.Context, *shell.Call) *shell.Reply {
		return &shell.Reply{Status: 200, Stream: io.NopCloser(struct{ io.Reader }{bytes.NewReader(data)})}
	}))
	r, err := l.Call(t.Context(), post(nil))
	if err != nil {
		t.Fatal(err)
	}
	check(r.Stream, len(data))
	r.Stream.Close()
	filled(t, rings)
	_, crowded := newFlood(t, data)
	check(crowded, len(data))
}

// A client that goes away while the ring is full leaves nothing behind.
func TestHangUpEndsAFullRing(t *testing.T) {
	before := inside(rings)
	l, stream := newFlood(t, noise(8<<20))
	c := stream.(*clientConn)
	for buf := make([]byte, 64<<10); c.ringOf() == nil; {
		if _, err := c.Read(buf); err != nil {
			t.Fatal(err)
		}
	}
	stream.Close()
	if err := <-l.errs; err != nil {
		t.Error(err)
	}
	if n := inside(rings); n != before {
		t.Errorf("%d rings are left, %d before", n, before)
	}
	if _, err := c.Read(make([]byte, 10)); err == nil {
		t.Error("a closed stream is read")
	}
}

// A front that was taken over writes what it likes to the memory. Its own stream
// ends, and nothing else happens.
func TestTakenOverFrontLiesInMemory(t *testing.T) {
	front, own, err := connPair()
	if err != nil {
		t.Fatal(err)
	}
	defer front.Close()
	data := noise(64 << 20)
	ended := make(chan error, 1)
	go func() {
		ended <- ServeConn(t.Context(), own, handlerFunc(func(context.Context, *shell.Call) *shell.Reply {
			return &shell.Reply{Status: 200, Stream: flood{bytes.NewReader(data)}}
		}))
	}()
	message, err := appendMessage(nil, post(nil))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := front.Write(message); err != nil {
		t.Fatal(err)
	}
	raw, err := front.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	in := rawio.RightsReader{Raw: raw}
	for buf := make([]byte, 64<<10); ; {
		_, file, err := in.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		if file == nil {
			continue
		}
		defer file.Close()
		mem, err := unix.Mmap(int(file.Fd()), 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Munmap(mem)
		for i := range mem {
			mem[i] = 0x7f
		}
		break
	}
	if _, err := front.Write(make([]byte, 100)); err != nil {
		t.Log(err) // it may be over already
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := io.Copy(io.Discard, front); err != nil {
		t.Log(err)
	}
}
