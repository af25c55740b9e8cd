package shellhttp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"shellagent/shell"
)

// numbers prints more than the backlog holds, each line another.
func numbers(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Repeat(string(rune('a'+i%26)), 63) + "\n")
	}
	return b.String()
}

// Whoever pages through output may stand still for longer than the agent waits
// for a client that does not read; nothing is cut, and nothing is lost.
func TestSlowReaderIsNotCut(t *testing.T) {
	out := numbers(6 << 20 / 64)
	for name, enc := range encodings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newTestBroker(t, map[string]script{"say": sayScript(out, "", 0)})
			server := serve(t, b, func(_ *HandlerConfig, h *Handler) {
				if h != nil {
					h.writeTime = 400 * time.Millisecond
				}
			})
			c := server.client(t, func(cfg *ClientConfig) { cfg.Encoding = enc })
			c.times.patience = 20 * time.Millisecond
			s := open(t, c, "say", shell.OpenRequest{})
			ctx := context.Background()
			var got []byte
			for range 3 {
				f, err := s.Next(ctx)
				if err != nil {
					t.Fatal(err)
				}
				before := bytes.Clone(f.Data)
				stalled := time.NewTimer(700 * time.Millisecond)
				<-stalled.C
				if !bytes.Equal(f.Data, before) {
					t.Fatal("the frame was overwritten while its holder was slow")
				}
				got = append(got, f.Data...)
				s.Ack(f.End)
			}
			o := readAll(t, s)
			if got = append(got, o.out...); string(got) != out {
				t.Errorf("%d bytes of %d", len(got), len(out))
			}
			if s.stream.ahead == nil {
				t.Error("nothing was read ahead: this test proves nothing")
			}
			if n := b.seen("GET "); n != 0 {
				t.Errorf("%d streams", n)
			}
		})
	}
}

// However long a client takes to judge the first frame, suspended in the middle
// of it for one, nothing is read ahead before it knows at which offset to go on.
func TestNothingIsReadAheadOfTheFirstFrame(t *testing.T) {
	b := newTestBroker(t, map[string]script{"say": sayScript("hello", "", 0)})
	server := serve(t, b)
	for range 100 {
		c := server.client(t)
		c.times.patience = time.Microsecond
		if o := readAll(t, open(t, c, "say", shell.OpenRequest{})); string(o.out) != "hello" {
			t.Fatalf("got %q", o.out)
		}
	}
}

func TestReadingAheadTellsOfACut(t *testing.T) {
	b := newTestBroker(t, map[string]script{"cat": catScript})
	server := serve(t, b)
	p := proxied(t, server)
	c := server.client(t)
	c.times.patience = 10 * time.Millisecond
	s := open(t, c, "cat", shell.OpenRequest{})
	io.WriteString(s, "one")
	eventually(t, "read ahead", func() bool {
		s.stream.mu.Lock()
		defer s.stream.mu.Unlock()
		return s.stream.ahead != nil
	})
	expect(t, s, "one")
	p.cut()
	if _, err := s.Next(context.Background()); !errors.Is(err, ErrCut) {
		t.Fatalf("got %v", err)
	}
	if err := s.Resume(context.Background()); err != nil {
		t.Fatal(err)
	}
	io.WriteString(s, "two")
	s.CloseWrite()
	if o := readAll(t, s); string(o.out) != "two" {
		t.Errorf("got %q", o.out)
	}
}

func TestReadingAheadIsBounded(t *testing.T) {
	a := newReadAhead()
	done := make(chan int)
	go func() {
		n := 0
		for a.push(shell.Frame{Type: shell.FrameNotice, Data: make([]byte, 1<<20)}, nil) {
			n++
		}
		done <- n
	}()
	full := func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.bytes > maxAhead
	}
	eventually(t, "full", full)
	if _, err := a.pop(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "full again", full)
	close(a.done)
	a.close()
	if n := <-done; n != maxAhead>>20+1 {
		t.Errorf("%d frames were taken", n)
	}
}
