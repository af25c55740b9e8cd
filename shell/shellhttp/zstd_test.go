package shellhttp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/klauspost/compress/zstd"

	"shellagent/shell"
)

// Who lists what they can read, as browsers do, has not asked for compression.
func TestCompressionIsAskedFor(t *testing.T) {
	for _, c := range []struct {
		lines []string
		want  bool
	}{
		{nil, false},
		{[]string{""}, false},
		{[]string{"zstd"}, true},
		{[]string{" zstd "}, true},
		{[]string{"gzip, deflate, br, zstd"}, false},
		{[]string{"zstd, gzip"}, false},
		{[]string{"zstd;q=0"}, false},
		{[]string{"*"}, false},
		{[]string{"zstd", "gzip"}, false},
	} {
		if got := wantsZstd(http.Header{"Accept-Encoding": c.lines}); got != c.want {
			t.Errorf("%q: %v, want %v", c.lines, got, c.want)
		}
	}
}

// pipeFlusher is the network: what was flushed can be read.
type pipeFlusher struct{ bytes.Buffer }

func (p *pipeFlusher) Flush() error { return nil }

func TestWhatIsFlushedCanBeRead(t *testing.T) {
	wire := &pipeFlusher{}
	d, err := newDeflater(wire)
	if err != nil {
		t.Fatal(err)
	}
	in, err := newInflater(wire)
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(7, 7))
	for range 200 {
		piece := bytes.Repeat([]byte{byte(rnd.Uint32())}, rnd.IntN(3000)+1)
		if rnd.IntN(20) == 0 {
			piece = make([]byte, 300_000)
			for i := range piece {
				piece[i] = byte(rnd.Uint32())
			}
		}
		if _, err := d.Write(piece); err != nil {
			t.Fatal(err)
		}
		if err := d.Flush(); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(piece))
		if _, err := io.ReadFull(in, got); err != nil || !bytes.Equal(got, piece) {
			t.Fatalf("%d bytes, %v", len(piece), err)
		}
	}
	if err := d.end(); err != nil {
		t.Fatal(err)
	}
	if n, err := in.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("%d, %v at the end", n, err)
	}
}

func TestCompressedStreamThatIsNoneOrCut(t *testing.T) {
	wire := &pipeFlusher{}
	d, err := newDeflater(wire)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(d, strings.Repeat("text ", 1000))
	if err := d.end(); err != nil {
		t.Fatal(err)
	}
	whole := wire.Bytes()
	read := func(b []byte) error {
		in, err := newInflater(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(io.Discard, in)
		return err
	}
	for cut := 1; cut < len(whole); cut++ {
		if err := read(whole[:cut]); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut after %d bytes: %v", cut, err)
		}
	}
	var format *formatError
	if err := read([]byte("event: session\nid: 0\n")); !errors.As(err, &format) {
		t.Errorf("no zstd: %v", err)
	}
	// A window of 64 MiB is what an agent would take from a client's memory.
	var wide bytes.Buffer
	enc, err := zstd.NewWriter(&wide, zstd.WithWindowSize(64<<20), zstd.WithSingleSegment(false))
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		enc.Write(make([]byte, 1<<20))
	}
	if err := enc.Close(); err != nil {
		t.Fatal(err)
	}
	if err := read(wide.Bytes()); !errors.As(err, &format) {
		t.Errorf("a window of 64 MiB: %v", err)
	}
}

func TestOnlyTheCodingThatWasAskedFor(t *testing.T) {
	for _, c := range []struct {
		coding string
		asked  bool
		want   error
	}{
		{"", false, nil}, {"", true, nil}, {"zstd", true, nil}, {"zstd", false, errCoding}, {"gzip", true, errCoding},
	} {
		h := http.Header{}
		if c.coding != "" {
			h.Set("Content-Encoding", c.coding)
		}
		if _, err := plainBody(h, strings.NewReader(""), c.asked); !errors.Is(err, c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// Compressed or not, a session says the same; beyond the bound it is not.
func TestCompressedSession(t *testing.T) {
	for _, full := range []bool{false, true} {
		for name, enc := range encodings {
			b := newTestBroker(t, map[string]script{"small": smallScript})
			s := serve(t, b, func(_ *HandlerConfig, h *Handler) {
				if h != nil && full {
					h.compressing.taken.Store(maxCompressed)
				}
			})
			c := s.client(t, func(cfg *ClientConfig) { cfg.Encoding = enc })
			c.Compress()
			session, err := c.Open(context.Background(), "small", shell.OpenRequest{})
			if err != nil {
				t.Fatal(err)
			}
			if got := session.current().answer.Header.Get("Content-Encoding"); (got == codingZstd) == full {
				t.Errorf("%s, full %v: content coding %q", name, full, got)
			}
			io.WriteString(session, "typed\n")
			session.CloseWrite()
			o, err := lastingOutput(session.Lasting(nil), nil)
			if err != nil || string(o.out) != "ready\nread \"typed\\n\"\n" || string(o.err) != "done\n" {
				t.Errorf("%s: %q, %q, %v", name, o.out, o.err, err)
			}
			if err := session.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// A stream that breaks anywhere within what was compressed goes on at the byte
// where it broke.
func TestCutsOfACompressedStream(t *testing.T) {
	b := newTestBroker(t, map[string]script{"small": smallScript})
	l := newPipeListener()
	server := NewServer(NewHandler(HandlerConfig{Caller: b}), nil)
	served := make(chan struct{})
	go func() { defer close(served); server.Serve(l) }()
	defer func() { l.Close(); server.Close(); <-served }()
	begin := func(where cut) *cutClient {
		c := newCutClient(t, b, l, Frames, false, where)
		c.Compress()
		return c
	}
	whole := begin(cut{})
	if err := runSmall(whole, b, nil); err != nil {
		t.Fatal(err)
	}
	down := int(whole.traffic[cut{nth: 1}].Load())
	var next, made atomic.Int64
	var work sync.WaitGroup
	for range 8 {
		work.Go(func() {
			for after := int(next.Add(5)); after < down && !t.Failed(); after = int(next.Add(5)) {
				c := begin(cut{nth: 1, after: after})
				if err := runSmall(c, b, nil); err != nil {
					t.Errorf("cut after %d bytes: %v", after, err)
				}
				c.Close()
				if c.made.Load() {
					made.Add(1)
				}
			}
		})
	}
	work.Wait()
	if made.Load() == 0 {
		t.Error("nothing was cut")
	}
}

// The last input and the last control request both look whether the stream's
// connection is free.
func TestEndOfACompressedStreamIsReadOnce(t *testing.T) {
	c := serve(t, newTestBroker(t, map[string]script{"say": sayScript("hello\n", "", 0)})).client(t)
	c.Compress()
	s := open(t, c, "say", shell.OpenRequest{})
	if o := readAll(t, s); string(o.out) != "hello\n" {
		t.Fatalf("got %q", o.out)
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if !s.current().finish() {
				t.Error("the connection is not free")
			}
		})
	}
	all.Wait()
}

// FuzzInflater: nothing that an agent sends makes the client panic, or its
// memory grow with what it unfolds to.
func FuzzInflater(f *testing.F) {
	wire := &pipeFlusher{}
	d, err := newDeflater(wire)
	if err != nil {
		f.Fatal(err)
	}
	io.WriteString(d, "event: session\n")
	d.end()
	f.Add(wire.Bytes())
	f.Add([]byte{0x28, 0xb5, 0x2f, 0xfd})
	f.Fuzz(func(t *testing.T, data []byte) {
		in, err := newInflater(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, io.LimitReader(in, 16<<20))
	})
}
