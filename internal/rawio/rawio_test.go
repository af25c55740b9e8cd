//go:build linux

package rawio_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"shellagent/internal/rawio"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pair is two ends of a connection, the first as this package has it.
func pair(t testing.TB) (ours, theirs net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if theirs, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	ours = rawio.NewConn(c)
	if _, ok := ours.(*rawio.Conn); !ok {
		t.Fatalf("a TCP connection became a %T", ours)
	}
	t.Cleanup(func() {
		ours.Close()
		theirs.Close()
	})
	return ours, theirs
}

func TestBytesArriveWhole(t *testing.T) {
	ours, theirs := pair(t)
	data := bytes.Repeat([]byte("0123456789abcdef"), 64<<10)
	for _, way := range []struct{ from, to net.Conn }{{ours, theirs}, {theirs, ours}} {
		go func() {
			// More than the sockets hold, and than is written at once; then less.
			for rest := data; len(rest) > 0; {
				n := min(len(rest), 1+len(rest)%40_000)
				if len(rest) == len(data) {
					n = 700_000
				}
				if _, err := way.from.Write(rest[:n]); err != nil {
					t.Error(err)
					return
				}
				rest = rest[n:]
			}
		}()
		got := make([]byte, len(data))
		if _, err := io.ReadFull(way.to, got); err != nil || !bytes.Equal(got, data) {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
	}
}

func TestHowAConnectionEnds(t *testing.T) {
	ours, theirs := pair(t)
	theirs.Close()
	if n, err := ours.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("the peer has closed: %d, %v", n, err)
	}

	ours, _ = pair(t)
	ours.SetReadDeadline(time.Unix(1, 0))
	var timeout net.Error
	if _, err := ours.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("the deadline has passed: %v", err)
	}
	ours.SetReadDeadline(time.Time{})
	waiting := make(chan error)
	go func() {
		_, err := ours.Read(make([]byte, 1))
		waiting <- err
	}()
	ours.Close()
	var op *net.OpError
	if err := <-waiting; !errors.Is(err, net.ErrClosed) || !errors.As(err, &op) || op.Op != "read" {
		t.Errorf("closed by ourselves: %v", err)
	}
	if _, err := ours.Write([]byte{1}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("write after that: %v", err)
	}
}

func TestWriteWaitsForRoomUntilItsDeadline(t *testing.T) {
	ours, _ := pair(t)
	ours.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
	p := make([]byte, 8<<10)
	for range 10_000 {
		if _, err := ours.Write(p); err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error(err)
			}
			return
		}
	}
	t.Error("80 MB had room in a socket that nobody reads")
}

func TestReadableSaysWhetherThereIsSomething(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	raw, err := r.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	readable := func() (yes bool) {
		raw.Control(func(fd uintptr) { yes = rawio.Readable(fd) })
		return yes
	}
	if readable() {
		t.Error("an empty pipe is")
	}
	w.Write([]byte{1})
	if !readable() {
		t.Error("a filled one is not")
	}
}

func TestNothingIsAllocated(t *testing.T) {
	ours, theirs := pair(t)
	p := make([]byte, 100)
	if n := testing.AllocsPerRun(100, func() {
		ours.Write(p)
		theirs.Read(p)
		theirs.Write(p)
		ours.Read(p)
	}); n >= 1 {
		t.Errorf("%v allocations a round", n)
	}
}

func TestTryWriteDoesNotWait(t *testing.T) {
	ours, _ := pair(t)
	c := ours.(*rawio.Conn)
	p := make([]byte, 8<<10)
	for range 10_000 {
		n, err := c.TryWrite(p)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return // full, and it did not wait
		}
	}
	t.Error("80 MB had room in a socket that nobody reads")
}
