package forward

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// sockets returns a connected pair of the network.
func sockets(t *testing.T, network string) (near, far net.Conn) {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "s")
	}
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	near, err = net.Dial(network, l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close(); far.Close() })
	near.SetDeadline(time.Now().Add(patience))
	return near, far
}

type spliced struct {
	fromA, fromB uint64
	err          error
}

// through splices two connected pairs together and returns the ends that are left.
func through(t *testing.T, network string) (left, right net.Conn, done <-chan spliced) {
	t.Helper()
	left, a := sockets(t, network)
	right, b := sockets(t, network)
	end := make(chan spliced, 1)
	go func() {
		fromA, fromB, err := Splice(Socket(a), Socket(b))
		end <- spliced{fromA, fromB, err}
	}()
	return left, right, end
}

func TestSpliceLeavesTheOtherDirectionOpen(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		left, right, done := through(t, network)
		io.WriteString(left, "question")
		left.(interface{ CloseWrite() error }).CloseWrite()
		if got, err := io.ReadAll(right); string(got) != "question" {
			t.Fatalf("%s: %q, %v", network, got, err)
		}
		io.WriteString(right, "the answer")
		right.Close()
		if got, err := io.ReadAll(left); string(got) != "the answer" {
			t.Fatalf("%s: %q, %v", network, got, err)
		}
		if end := <-done; end != (spliced{8, 10, nil}) {
			t.Errorf("%s: %+v", network, end)
		}
	}
}

func TestSpliceCarriesABrokenConnection(t *testing.T) {
	left, right, done := through(t, "tcp")
	io.WriteString(left, "x")
	if _, err := io.ReadFull(right, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	right.(*net.TCPConn).SetLinger(0)
	right.Close()
	if _, err := left.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the other side saw %v", err)
	}
	if end := <-done; !errors.Is(end.err, syscall.ECONNRESET) {
		t.Errorf("%+v", end)
	}
}

// Over the multiplexer: what is large, both ways, and the end and the break of each side.
func TestSpliceOverStreams(t *testing.T) {
	client, server := pair(t)
	out := make(chan net.Conn, 1)
	answering(t, server, func(Request) Answer { return Answer{} }, func(s *Stream) {
		near, far := sockets(t, "tcp")
		out <- near
		Splice(s, Socket(far))
	})
	open := func() (left, right net.Conn, done chan spliced) {
		s, _, err := client.Ask(limited(t), Request{Open: TCP, Host: "a", Port: 2})
		if err != nil {
			t.Fatal(err)
		}
		left, a := sockets(t, "tcp")
		done = make(chan spliced, 1)
		go func() {
			fromA, fromB, err := Splice(Socket(a), s)
			done <- spliced{fromA, fromB, err}
		}()
		return left, <-out, done
	}
	left, right, done := open()
	whole(t, left, func() { left.(*net.TCPConn).CloseWrite() }, right, 5_000_001)
	whole(t, right, func() { right.Close() }, left, 3_000_003)
	if end := <-done; end != (spliced{5_000_001, 3_000_003, nil}) {
		t.Errorf("%+v", end)
	}

	broken, breaks, done := open()
	breaks.(*net.TCPConn).SetLinger(0)
	breaks.Close()
	if _, err := broken.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a break arrived as %v", err)
	}
	if end := <-done; end.err == nil {
		t.Error("a break was told as an end")
	}

	left2, right2, done := open()
	client.Close()
	if _, err := right2.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the end of all arrived as %v", err)
	}
	if _, err := left2.Read(make([]byte, 1)); err == nil || err == io.EOF {
		t.Errorf("the end of all arrived as %v", err)
	}
	<-done
}

// Whoever sends on although the other end has left is stopped.
func TestSpliceStopsWhoeverIsNotHeard(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		left, right, done := through(t, network)
		right.Close()
		for chunk := make([]byte, 64<<10); ; {
			if _, err := left.Write(chunk); err != nil {
				break
			}
		}
		if end := <-done; end.err == nil || end.fromB != 0 {
			t.Errorf("%s: %+v", network, end)
		}
	}
}

// The same over the multiplexer, from either end.
func TestSpliceStopsWhoeverIsNotHeardOverStreams(t *testing.T) {
	client, server := pair(t)
	out := make(chan net.Conn, 1)
	answering(t, server, func(Request) Answer { return Answer{} }, func(s *Stream) {
		near, far := sockets(t, "tcp")
		out <- near
		Splice(s, Socket(far))
	})
	for _, rightLeaves := range []bool{true, false} {
		s, _, err := client.Ask(limited(t), Request{Open: TCP, Host: "a", Port: 2})
		if err != nil {
			t.Fatal(err)
		}
		left, a := sockets(t, "tcp")
		done := make(chan struct{})
		go func() { defer close(done); Splice(Socket(a), s) }()
		stays, leaves := left, <-out
		if !rightLeaves {
			stays, leaves = leaves, stays
		}
		leaves.Close()
		for chunk := make([]byte, 64<<10); ; {
			if _, err := stays.Write(chunk); err != nil {
				if errors.Is(err, os.ErrDeadlineExceeded) {
					t.Error("it is not stopped")
				}
				break
			}
		}
		<-done
	}
}
