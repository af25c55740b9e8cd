package shellhttp

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"shellagent/shell"
)

// inPieces brings data in pieces of any size up to most.
type inPieces struct {
	data []byte
	most int
}

func (p *inPieces) Read(b []byte) (int, error) {
	if len(p.data) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), 1+rand.IntN(p.most))], p.data)
	p.data = p.data[n:]
	return n, nil
}

func someData(n int) []byte {
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(rand.Uint32())
	}
	return data
}

// What is read arrives once and in order, whether requests leave while more is read
// or in between, and when their answers are lost.
func TestReadFromArrives(t *testing.T) {
	data := someData(3 << 20)
	for name, in := range map[string]func() io.Reader{
		"all at once":     func() io.Reader { return bytes.NewReader(data) },
		"small pieces":    func() io.Reader { return &inPieces{data, 5000} },
		"large pieces":    func() io.Reader { return &inPieces{data, 1 << 20} },
		"end with data":   func() io.Reader { return iotest.DataErrReader(bytes.NewReader(data)) },
		"half of what is": func() io.Reader { return iotest.HalfReader(bytes.NewReader(data)) },
	} {
		for _, lossy := range []bool{false, true} {
			t.Run(name+map[bool]string{true: ", answers lost"}[lossy], func(t *testing.T) {
				t.Parallel()
				b := newTestBroker(t, map[string]script{"cat": catScript})
				var calls atomic.Int32
				b.after = func(call *shell.Call, r *shell.Reply) *shell.Reply {
					if lossy && isStdin(call) && calls.Add(1)%5 == 0 {
						return problemOf(shell.Deny(shell.ReasonUnavailable, nil))
					}
					return r
				}
				s := open(t, serve(t, b).client(t), "cat", shell.OpenRequest{})
				sent := make(chan error, 1)
				go func() {
					n, err := s.ReadFrom(in())
					if err == nil && n != int64(len(data)) {
						t.Errorf("%d bytes were read of %d", n, len(data))
					}
					s.CloseWrite()
					sent <- err
				}()
				if o := readAll(t, s); !bytes.Equal(o.out, data) {
					t.Errorf("%d bytes came back of %d, or others", len(o.out), len(data))
				}
				if err := <-sent; err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// What is written while much is read waits, and is not mixed into it.
func TestWriteWaitsForAReadFrom(t *testing.T) {
	b := newTestBroker(t, map[string]script{"cat": catScript})
	s := open(t, serve(t, b).client(t), "cat", shell.OpenRequest{})
	r, w := io.Pipe()
	reading := make(chan struct{})
	reads := 0
	go s.ReadFrom(readerFunc(func(p []byte) (int, error) {
		if reads++; reads == 2 { // the first was full
			close(reading)
		}
		return r.Read(p)
	}))
	much := strings.Repeat("m", smallRead)
	w.Write([]byte(much))
	<-reading
	written := make(chan error, 1)
	go func() {
		_, err := s.Write([]byte("written"))
		written <- err
	}()
	w.Write([]byte("read "))
	w.Close()
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	s.CloseWrite()
	if o := readAll(t, s); string(o.out) != much+"read written" {
		t.Errorf("%d bytes came back, at their end %q", len(o.out), o.out[max(0, len(o.out)-20):])
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestReadFromTellsWhoFailed(t *testing.T) {
	b := newTestBroker(t, map[string]script{"cat": catScript, "say": sayScript("", "", 0)})
	client := serve(t, b).client(t)
	broken := errors.New("broken")
	s := open(t, client, "cat", shell.OpenRequest{})
	if n, err := s.ReadFrom(io.MultiReader(strings.NewReader("some"), iotest.ErrReader(broken))); n != 4 || !errors.Is(err, broken) {
		t.Errorf("%d, %v", n, err)
	}
	s.CloseWrite()
	if _, err := s.ReadFrom(strings.NewReader("more")); !errors.Is(err, errInputEnded) {
		t.Errorf("after the end: %v", err)
	}
	readAll(t, s)
	over := open(t, client, "say", shell.OpenRequest{})
	readAll(t, over)
	if _, err := over.ReadFrom(&inPieces{someData(1 << 20), 1000}); !errors.Is(err, ErrEnded) {
		t.Errorf("after the exit: %v", err)
	}
}
