package shellhttp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"shellagent/shell"
)

// recorder is a client that keeps what it is sent, and how it was flushed.
type recorder struct {
	bytes.Buffer
	flushed int // bytes at the last flush
	flushes int
}

func (r *recorder) Flush() error { r.flushed, r.flushes = r.Len(), r.flushes+1; return nil }

// steps yields one chunk for each Read, and checks that what came before was
// flushed: a Read may wait forever.
type steps struct {
	t      *testing.T
	chunks [][]byte
	to     *recorder
}

func (s *steps) Read(p []byte) (int, error) {
	if s.to.Len() != s.to.flushed {
		s.t.Errorf("%d bytes wait unflushed in front of a read", s.to.Len()-s.to.flushed)
	}
	if len(s.chunks) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.chunks[0])
	if s.chunks[0] = s.chunks[0][n:]; len(s.chunks[0]) == 0 {
		s.chunks = s.chunks[1:]
	}
	return n, nil
}

// Whatever the sizes of frames and reads, the events carry the same bytes at
// the same offsets, in order, and nothing is held back.
func TestEventsCarryTheFrames(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		var wire []byte
		var want bytes.Buffer
		var end uint64
		for range 1 + rnd.IntN(8) {
			f := shell.Frame{Type: shell.FrameStdout, Data: make([]byte, []int{0, 1, 100, 1000, 40_000, shell.MaxFrameData}[rnd.IntN(6)])}
			for i := range f.Data {
				f.Data[i] = byte(rnd.Uint32())
			}
			if rnd.IntN(4) == 0 {
				f = shell.Frame{Type: shell.FrameNotice, Data: []byte(`{"code":"x"}`)}
			} else {
				want.Write(f.Data)
			}
			end += f.Type.Width(len(f.Data))
			f.End = end
			wire = shell.AppendFrame(wire, f)
		}
		end++
		wire = shell.AppendFrame(wire, shell.Frame{Type: shell.FrameExit, End: end, Data: []byte(`{}`)})
		var chunks [][]byte
		for rest := wire; len(rest) > 0; {
			n := min(len(rest), 1+rnd.IntN([]int{3, 1000, 200_000}[rnd.IntN(3)]))
			chunks, rest = append(chunks, rest[:n]), rest[n:]
		}
		out := &recorder{}
		if err := encodeEvents(out, &steps{t: t, chunks: chunks, to: out}); err != nil {
			t.Fatal(err)
		}
		got, last := collect(t, newEventReader(&out.Buffer))
		if !bytes.Equal(got, want.Bytes()) || last.Type != shell.FrameExit || last.End != end {
			t.Fatalf("%d bytes, last %+v; want %d bytes, end %d", len(got), last, want.Len(), end)
		}

		out = &recorder{}
		if err := copyFrames(out, &steps{t: t, chunks: [][]byte{wire[:len(wire)/2], wire[len(wire)/2:]}, to: out}); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(out.Bytes(), wire) {
			t.Fatal("the binary encoding was changed")
		}
	}
}

// collect reads all frames and holds them against the offset rule.
func collect(t *testing.T, r frameReader) (out []byte, last shell.Frame) {
	t.Helper()
	var s stream
	for {
		f, err := r.next()
		if err == io.EOF {
			return out, last
		}
		if err == nil {
			err = s.check(f)
		}
		if err != nil {
			t.Fatal(err)
		}
		if f.Type == shell.FrameStdout {
			out = append(out, f.Data...)
		}
		last = shell.Frame{Type: f.Type, End: f.End}
	}
}

func TestEncodeEventsRefusesWhatDoesNotFit(t *testing.T) {
	long := shell.AppendFrame(nil, shell.Frame{Type: shell.FrameNotice, Data: make([]byte, maxEventData+1)})
	if err := encodeEvents(&recorder{}, bytes.NewReader(long)); !errors.Is(err, errEventData) {
		t.Errorf("got %v", err)
	}
	whole := shell.AppendFrame(nil, shell.Frame{Type: shell.FrameStdout, End: 3, Data: []byte("abc")})
	for cut := 1; cut < len(whole); cut++ {
		if err := encodeEvents(&recorder{}, bytes.NewReader(whole[:cut])); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut at %d: %v", cut, err)
		}
	}
}

// scripted is a stream that yields what it is given, and tells when it is closed.
type scripted struct {
	*io.PipeReader
	closed atomic.Bool
}

func (s *scripted) Close() error {
	s.closed.Store(true)
	return s.PipeReader.Close()
}

// serveScripted serves one stream that the test writes.
func serveScripted(t *testing.T, change ...func(*HandlerConfig, *Handler)) (*testServer, *io.PipeWriter, *scripted) {
	r, w := io.Pipe()
	frames := &scripted{PipeReader: r}
	b := newTestBroker(t, nil)
	b.before = func(*shell.Call) (*shell.Reply, error) {
		return &shell.Reply{Status: 200, Stream: frames}, nil
	}
	return serve(t, b, change...), w, frames
}

// ways are how a stream can be asked for: ours is as our client does.
var ways = []string{"http/1.1", "h2", "ours"}

func getStream(t *testing.T, s *testServer, protocol string, accept string) (*http.Response, context.CancelFunc) {
	t.Helper()
	var protocols http.Protocols
	protocols.SetHTTP1(protocol != "h2")
	protocols.SetHTTP2(protocol == "h2")
	transport := &http.Transport{TLSClientConfig: s.tls, Protocols: &protocols}
	t.Cleanup(transport.CloseIdleConnections)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, "GET", "https://"+s.addr+"/v1/sessions/"+someID+"/stream?from=0", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer abc")
	r.Header.Set("Accept", accept)
	if protocol == "ours" {
		r.Header.Set("User-Agent", "shellagent")
	}
	resp, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp, cancel
}

func TestStreamsArriveAtOnceAndEndWithTheirClient(t *testing.T) {
	for _, protocol := range ways {
		for _, accept := range []string{"text/event-stream", "text/html, " + typeFrames + ";q=1"} {
			t.Run(protocol+" "+accept, func(t *testing.T) {
				s, w, frames := serveScripted(t)
				go w.Write(shell.AppendFrame(nil, shell.Frame{Type: shell.FrameStdout, End: 1, Data: []byte("a")}))
				resp, cancel := getStream(t, s, protocol, accept)
				h := resp.Header
				if h.Get("X-Accel-Buffering") != "no" || h.Get("Cache-Control") != "no-store" || h.Get("X-Content-Type-Options") != "nosniff" {
					t.Errorf("headers %v", h)
				}
				var r frameReader = newEventReader(resp.Body)
				if accept != "text/event-stream" {
					r = newBinaryReader(resp.Body)
				}
				if want := map[bool]string{true: typeEvents, false: typeFrames}[accept == "text/event-stream"]; h.Get("Content-Type") != want {
					t.Errorf("content type %q, want %q", h.Get("Content-Type"), want)
				}
				for end := uint64(1); end < 5; end++ {
					f, err := r.next()
					if err != nil || f.End != end {
						t.Fatalf("%+v, %v", f, err)
					}
					// The next is written only after this one has arrived.
					go w.Write(shell.AppendFrame(nil, shell.Frame{Type: shell.FrameStdout, End: end + 1, Data: []byte("a")}))
				}
				cancel()
				eventually(t, "stream closed", frames.closed.Load)
			})
		}
	}
}

func TestCutStreamLooksCut(t *testing.T) {
	for _, protocol := range ways {
		t.Run(protocol, func(t *testing.T) {
			s, w, frames := serveScripted(t)
			go func() {
				w.Write(shell.AppendFrame(nil, shell.Frame{Type: shell.FrameStdout, End: 1, Data: []byte("a")}))
				w.CloseWithError(errors.New("broker died"))
			}()
			resp, _ := getStream(t, s, protocol, typeFrames)
			r := newBinaryReader(resp.Body)
			if _, err := r.next(); err != nil {
				t.Fatal(err)
			}
			if _, err := r.next(); err == nil || err == io.EOF {
				t.Errorf("got %v", err)
			}
			eventually(t, "stream closed", frames.closed.Load)
		})
	}
}

// A deadline is moved before it is due, and not with every byte.
func TestDeadlinesAreMovedByWrites(t *testing.T) {
	w := &deadlineWriter{}
	c := &clientWriter{w: w, rc: http.NewResponseController(w), time: writeTime}
	if _, err := c.Write([]byte("a")); err != nil {
		t.Fatal(err)
	}
	first := w.deadline
	if d := time.Until(first); d < writeTime-time.Second || d > writeTime {
		t.Errorf("deadline in %v", d)
	}
	c.until = time.Now().Add(writeTime / 2)
	w.deadline = time.Time{}
	if _, err := c.Write([]byte("a")); err != nil || w.deadline.IsZero() {
		t.Errorf("deadline was not moved, %v", err)
	}
	c.disarm = true
	if err := c.Flush(); err != nil || !w.deadline.IsZero() {
		t.Errorf("deadline stays in HTTP/2, %v", err)
	}
}

type deadlineWriter struct {
	recorder
	deadline time.Time
}

func (w *deadlineWriter) Header() http.Header                { return http.Header{} }
func (w *deadlineWriter) WriteHeader(int)                    {}
func (w *deadlineWriter) FlushError() error                  { return nil }
func (w *deadlineWriter) Flush()                             {}
func (w *deadlineWriter) SetWriteDeadline(d time.Time) error { w.deadline = d; return nil }

// A client that does not read is let go of after its time, and the session's
// stream with it.
func TestClientThatDoesNotRead(t *testing.T) {
	for _, protocol := range ways {
		t.Run(protocol, func(t *testing.T) {
			s, w, frames := serveScripted(t, func(_ *HandlerConfig, h *Handler) {
				if h != nil {
					h.writeTime = 300 * time.Millisecond
				}
			})
			block := shell.AppendFrame(nil, shell.Frame{Type: shell.FrameStdout, End: 1, Data: make([]byte, 64<<10)})
			done := make(chan struct{})
			go func() {
				defer close(done)
				for {
					if _, err := w.Write(block); err != nil {
						return
					}
				}
			}()
			getStream(t, s, protocol, typeFrames) // and read nothing of it
			<-done
			if !frames.closed.Load() {
				t.Error("the stream stayed open")
			}
		})
	}
}
