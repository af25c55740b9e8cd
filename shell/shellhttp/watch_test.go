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

func TestWatch(t *testing.T) {
	for name, enc := range encodings {
		t.Run(name, func(t *testing.T) {
			b := newTestBroker(t, map[string]script{"cat": catScript})
			c := serve(t, b).client(t, func(cfg *ClientConfig) { cfg.Encoding = enc })
			s := open(t, c, "cat", shell.OpenRequest{})
			io.WriteString(s, "before")
			expect(t, s, "before")
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			w, err := c.Watch(ctx, s.Info().ID, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			io.WriteString(s, " and after")
			s.CloseWrite()
			var got []byte
			for {
				f, err := w.Next(ctx)
				if err != nil {
					t.Fatalf("after %q: %v", got, err)
				}
				if f.Type == shell.FrameExit {
					break
				}
				got = append(got, f.Data...)
			}
			if _, err := w.Next(ctx); string(got) != "before and after" || err != io.EOF {
				t.Errorf("saw %q, then %v", got, err)
			}
			if o := readAll(t, s); string(o.out) != " and after" || len(o.notices) != 1 || !strings.Contains(o.notices[0], "192.0.2.9") {
				t.Errorf("the client got %q, %q", o.out, o.notices)
			}
		})
	}
}

// A watcher that does not read misses something, and is told how much.
func TestWatchSkips(t *testing.T) {
	b := newTestBroker(t, map[string]script{"cat": catScript})
	c := serve(t, b).client(t, func(cfg *ClientConfig) { cfg.Encoding = Frames })
	c.times.patience = time.Minute // nothing is read ahead
	s := open(t, c, "cat", shell.OpenRequest{})
	w, err := c.Watch(t.Context(), s.Info().ID, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	want := bytes.Repeat([]byte("0123456789abcdef"), 3<<20)
	go func() {
		s.Write(want)
		s.CloseWrite()
	}()
	if o := readAll(t, s); !bytes.Equal(o.out, want) {
		t.Error("the client's output differs")
	}
	at, skipped := w.Info().From, uint64(0)
	for {
		f, err := w.Next(t.Context())
		if err == io.EOF || errors.Is(err, ErrCut) { // the session may be forgotten by now
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if f.Type == shell.FrameGap {
			skipped += f.End - at
		} else if f.Type == shell.FrameStdout && !bytes.Equal(f.Data, want[at:f.End]) {
			t.Fatalf("wrong bytes at offset %d", at)
		}
		at = f.End
	}
	if skipped == 0 {
		t.Error("nothing was skipped")
	}
}

// A watcher's connection is cut again and again, and it sees every byte once.
func TestWatchSurvivesCuts(t *testing.T) {
	b := newTestBroker(t, map[string]script{"cat": catScript})
	server := serve(t, b)
	direct := server.client(t)
	s := open(t, direct, "cat", shell.OpenRequest{})
	p := proxied(t, server)
	c := server.client(t)
	w, err := c.Watch(t.Context(), s.Info().ID, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var got, want []byte
	for i := range byte(10) {
		line := bytes.Repeat([]byte{'a' + i}, 1000)
		want = append(want, line...)
		if i%2 == 0 {
			p.cut()
		}
		s.Write(line)
		for len(got) < len(want) {
			f, err := w.Next(ctx)
			if err != nil {
				t.Fatalf("after %d bytes: %v", len(got), err)
			}
			if f.Type != shell.FrameStdout {
				t.Fatalf("a %v frame", f.Type)
			}
			got = append(got, f.Data...)
		}
	}
	if !bytes.Equal(got, want) || b.seen("POST /v1/sessions/"+s.Info().ID+"/watch?from=") < 5 {
		t.Errorf("saw %d bytes over %q", len(got), b.calls)
	}
	p.cut()
	s.CloseWrite()
	if f, err := w.Next(ctx); err != nil || f.Type != shell.FrameExit {
		t.Errorf("at the end: %v, %v", f.Type, err)
	}

	// A session that is forgotten meanwhile is not looked for.
	s = open(t, direct, "cat", shell.OpenRequest{})
	if w, err = c.Watch(t.Context(), s.Info().ID, nil); err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	p.refuse(true)
	p.cut()
	s.CloseWrite()
	readAll(t, s)
	s.Close()
	eventually(t, "forgotten", func() bool { return b.registry.ByID(w.id) == nil })
	p.refuse(false)
	var gone *LostError
	for err = nil; err == nil; {
		_, err = w.Next(ctx)
	}
	if !errors.As(err, &gone) || !gone.Gone {
		t.Errorf("after its end: %v", err)
	}
}
