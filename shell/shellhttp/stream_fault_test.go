package shellhttp

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"shellagent/shell"
)

// rewrite changes the frames of every stream.
func rewrite(b *testBroker, change func(shell.Frame) []shell.Frame) {
	b.after = func(_ *shell.Call, reply *shell.Reply) *shell.Reply {
		if in := reply.Stream; in != nil {
			r, w := io.Pipe()
			reply.Stream = &joined{PipeReader: r, in: in}
			go func() {
				defer in.Close()
				for {
					f, err := shell.ReadFrame(in, make([]byte, 64<<10))
					if err != nil {
						w.CloseWithError(err)
						return
					}
					var out []byte
					for _, f := range change(f) {
						out = shell.AppendFrame(out, f)
					}
					if len(out) == 0 {
						continue
					}
					if _, err := w.Write(out); err != nil {
						return
					}
				}
			}()
		}
		return reply
	}
}

type joined struct {
	*io.PipeReader
	in io.Closer
}

func (j *joined) Close() error {
	j.in.Close()
	return j.PipeReader.Close()
}

func TestUnfaithfulStreams(t *testing.T) {
	one := func(f shell.Frame) []shell.Frame { return []shell.Frame{f} }
	for name, change := range map[string]func(shell.Frame) []shell.Frame{
		"missing": func(f shell.Frame) []shell.Frame { return nil },
		"doubled": func(f shell.Frame) []shell.Frame { return []shell.Frame{f, f} },
		"shorter": func(f shell.Frame) []shell.Frame { f.Data = f.Data[:len(f.Data)-1]; return one(f) },
		"longer":  func(f shell.Frame) []shell.Frame { f.Data = append(f.Data, 'x'); return one(f) },
		"moved":   func(f shell.Frame) []shell.Frame { f.End++; return one(f) },
		"gap":     func(f shell.Frame) []shell.Frame { return one(shell.Frame{Type: shell.FrameGap, End: f.End}) },
		"session": func(f shell.Frame) []shell.Frame {
			return one(shell.Frame{Type: shell.FrameSession, Data: []byte("{}")})
		},
	} {
		for encName, enc := range encodings {
			t.Run(name+" "+encName, func(t *testing.T) {
				b := newTestBroker(t, map[string]script{"say": sayScript("hello\n", "", 0)})
				rewrite(b, func(f shell.Frame) []shell.Frame {
					if f.Type == shell.FrameStdout {
						return change(f)
					}
					return one(f)
				})
				s := open(t, serve(t, b).client(t, func(cfg *ClientConfig) { cfg.Encoding = enc }), "say", shell.OpenRequest{})
				if o, err := readUntil(s); !errors.Is(err, ErrStream) {
					t.Errorf("got %q, %v", o.out, err)
				}
			})
		}
	}
}

func TestCutAndResume(t *testing.T) {
	b := newTestBroker(t, map[string]script{"cat": catScript})
	server := serve(t, b)
	p := proxied(t, server)
	s := open(t, server.client(t), "cat", shell.OpenRequest{})
	s.Write([]byte("one"))
	expect(t, s, "one")
	p.cut()
	ctx := context.Background()
	if _, err := s.Next(ctx); !errors.Is(err, ErrCut) {
		t.Fatalf("got %v", err)
	}
	s.Write([]byte("two"))
	s.CloseWrite()
	if err := s.Resume(ctx); err != nil {
		t.Fatal(err)
	}
	if o := readAll(t, s); string(o.out) != "two" {
		t.Errorf("got %q", o.out)
	}
	if err := s.Resume(ctx); !errors.Is(err, ErrEnded) {
		t.Errorf("resume after the end: %v", err)
	}
}

func TestSilence(t *testing.T) {
	b := newTestBroker(t, map[string]script{"wait": waitScript})
	c := serve(t, b).client(t)
	c.times.silence, c.times.patience = 150*time.Millisecond, 20*time.Millisecond
	s := open(t, c, "wait", shell.OpenRequest{})
	if _, err := s.Next(context.Background()); !errors.Is(err, ErrSilent) {
		t.Errorf("got %v", err)
	}
	if err := s.Resume(context.Background()); err != nil {
		t.Error(err)
	}
}
