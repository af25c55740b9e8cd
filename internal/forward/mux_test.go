package forward

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"
)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// pair returns the two ends over one connection.
func pair(t *testing.T) (client, server *Mux) {
	t.Helper()
	a, b := net.Pipe()
	client, err := NewClient(a)
	if err != nil {
		t.Fatal(err)
	}
	server, err = NewServer(b)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		client.Close()
		server.Close()
	})
	return client, server
}

// answering answers each request, and hands on the streams of those answered yes.
func answering(t *testing.T, server *Mux, answer func(Request) Answer, then func(*Stream)) {
	t.Helper()
	var wait sync.WaitGroup
	t.Cleanup(func() { server.Close(); wait.Wait() })
	wait.Go(func() {
		for {
			s, err := server.Accept()
			if err != nil {
				return
			}
			wait.Go(func() {
				r, err := ReadRequest(s)
				if err != nil {
					s.Reset()
					return
				}
				a := answer(r)
				WriteAnswer(s, a)
				if a.Code != "" {
					s.Close()
					return
				}
				then(s)
			})
		}
	})
}

func echo(s *Stream) {
	io.Copy(s, s)
	s.Close()
}

func limited(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func TestAskAndBeAnswered(t *testing.T) {
	client, server := pair(t)
	answering(t, server, func(r Request) Answer {
		if r.Port == 1 {
			return No(CodeDenied, "not there")
		}
		return Answer{}
	}, echo)
	var refusal *Refusal
	if _, _, err := client.Ask(limited(t), Request{Open: TCP, Host: "a", Port: 1}); !errors.As(err, &refusal) || *refusal != (Refusal{CodeDenied, "not there"}) {
		t.Fatalf("got %v", err)
	}
	if _, _, err := client.Ask(limited(t), Request{}); !errors.As(err, &refusal) || refusal.Code != CodeInvalid {
		t.Fatalf("got %v", err)
	}
	s, _, err := client.Ask(limited(t), Request{Open: TCP, Host: "a", Port: 2})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(s, "hello"); err != nil {
		t.Fatal(err)
	}
	s.CloseWrite()
	if got, err := io.ReadAll(s); err != nil || string(got) != "hello" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestAskIsGivenUp(t *testing.T) {
	client, _ := pair(t) // which nobody answers
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	time.AfterFunc(20*time.Millisecond, func() { cancel(enough) })
	if _, _, err := client.Ask(ctx, Request{Listen: Agent}); !errors.Is(err, enough) {
		t.Errorf("got %v", err)
	}
}

// A thousand streams at once, each with bytes of its own both ways.
func TestManyStreams(t *testing.T) {
	client, server := pair(t)
	answering(t, server, func(Request) Answer { return Answer{} }, echo)
	const streams = 1000
	var all, open sync.WaitGroup
	open.Add(streams)
	for i := range streams {
		all.Go(func() {
			s, _, err := client.Ask(limited(t), Request{Open: TCP, Host: "a", Port: 2})
			open.Done()
			if err != nil {
				t.Error(err)
				return
			}
			open.Wait() // all of them are there
			want := bytes.Repeat([]byte{byte(i), byte(i >> 8)}, 4<<10)
			all.Go(func() { s.Write(want); s.CloseWrite() })
			if got, err := io.ReadAll(s); err != nil || !bytes.Equal(got, want) {
				t.Errorf("stream %d: %d bytes, %v", i, len(got), err)
			}
		})
	}
	all.Wait()
}

// One that does not read holds up itself alone, and no more than its window is kept for it.
func TestASlowReaderStallsNobody(t *testing.T) {
	client, server := pair(t)
	release := make(chan struct{})
	answering(t, server, func(Request) Answer { return Answer{} }, func(s *Stream) {
		var first [1]byte
		if _, err := io.ReadFull(s, first[:]); err != nil {
			return
		}
		if first[0] == 's' {
			<-release
		}
		echo(s)
	})
	slow, _, err := client.Ask(limited(t), Request{Open: TCP, Host: "slow", Port: 2})
	if err != nil {
		t.Fatal(err)
	}
	slow.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
	sent, err := slow.Write(append([]byte("s"), make([]byte, 16<<20)...))
	if err == nil || sent > 2*maxWindow {
		t.Errorf("%d bytes went to one that reads none: %v", sent, err)
	}
	for range 20 {
		quick, _, err := client.Ask(limited(t), Request{Open: TCP, Host: "quick", Port: 2})
		if err != nil {
			t.Fatal(err)
		}
		go func() { quick.Write(append([]byte("q"), make([]byte, 1<<20)...)); quick.CloseWrite() }()
		if n, err := io.Copy(io.Discard, quick); n != 1<<20 || err != nil {
			t.Fatalf("%d bytes, %v", n, err)
		}
	}
	close(release)
	slow.Reset()
}

// What more than the multiplexer's own bound are opened is reset; the others live.
func TestTooManyStreamsAreReset(t *testing.T) {
	client, server := pair(t)
	answering(t, server, func(Request) Answer { return Answer{} }, echo)
	streams := make([]*Stream, 0, MaxStreams+spareStreams)
	for range MaxStreams + spareStreams {
		s, _, err := client.Ask(limited(t), Request{Open: TCP, Host: "a", Port: 2})
		if err != nil {
			t.Fatalf("stream %d: %v", len(streams), err)
		}
		streams = append(streams, s)
	}
	if _, _, err := client.Ask(limited(t), Request{Open: TCP, Host: "a", Port: 2}); err == nil {
		t.Error("one more was answered")
	}
	if _, err := io.WriteString(streams[0], "still here"); err != nil {
		t.Error(err)
	}
	streams[0].CloseWrite()
	if got, err := io.ReadAll(streams[0]); string(got) != "still here" {
		t.Errorf("%q, %v", got, err)
	}
}

// The windows of all streams together grow no further than their budget.
func TestWindowsGrowWithinABudget(t *testing.T) {
	of := &budget{left: 1000}
	a, b := &span{of: of}, &span{of: of}
	if err := errors.Join(a.ReserveMemory(1<<30, startPriority), a.ReserveMemory(600, 128), b.ReserveMemory(400, 128)); err != nil {
		t.Fatal(err)
	}
	if b.ReserveMemory(1, 128) == nil {
		t.Error("grew past the budget")
	}
	b.ReleaseMemory(100)
	a.Done()
	a.Done()
	if of.left != 700 {
		t.Errorf("%d are left", of.left)
	}
	if a.ReserveMemory(1, 128) == nil {
		t.Error("a stream that ended grew")
	}
}

// whole sends random bytes through and compares what comes out.
func whole(t *testing.T, in io.Writer, end func(), out io.Reader, size int) {
	t.Helper()
	data := make([]byte, size)
	source := rand.NewChaCha8([32]byte{byte(size)})
	source.Read(data)
	go func() { in.Write(data); end() }()
	h := sha256.New()
	n, err := io.Copy(h, out)
	if want := sha256.Sum256(data); err != nil || n != int64(size) || !bytes.Equal(h.Sum(nil), want[:]) {
		t.Errorf("%d of %d bytes came out, or others: %v", n, size, err)
	}
}
