package shell

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"testing"
	"time"
)

// benchProgram's output is waited for without a buffer: as many bytes as it is
// prompted, endless or by input.
type benchProgram struct {
	prompt chan int
	left   int
	chunk  int // most that one read gives, as of a pty or a pipe
	exit   chan struct{}
}

func newBenchProgram(chunk int) *benchProgram {
	return &benchProgram{prompt: make(chan int, 1), chunk: chunk, exit: make(chan struct{})}
}

func (p *benchProgram) WaitReadable() error {
	if p.left == 0 {
		n, ok := <-p.prompt
		if !ok {
			return io.EOF
		}
		p.left = n
	}
	return nil
}

func (p *benchProgram) Read(b []byte) (int, error) {
	n := min(len(b), p.left, p.chunk)
	p.left -= n
	return n, nil
}

// benchInput echoes.
type benchInput struct{ p *benchProgram }

func (w benchInput) Write(b []byte) (int, error) { w.p.prompt <- len(b); return len(b), nil }
func (w benchInput) Close() error                { return nil }

func (p *benchProgram) Stdin() io.WriteCloser { return benchInput{p} }
func (p *benchProgram) Output(t FrameType) io.Reader {
	if t == FrameStdout {
		return p
	}
	return nil
}
func (p *benchProgram) Resize(Winsize) error { return nil }
func (p *benchProgram) Signal(string) error  { return nil }
func (p *benchProgram) Wait() Exit           { <-p.exit; return Exit{} }
func (p *benchProgram) HangUp(time.Duration) { close(p.prompt); close(p.exit) }
func (p *benchProgram) Close()               {}

func benchSession(p Program, id string) *Session {
	return NewSession(SessionConfig{
		ID: id, Grant: Grant{Source: "debug", Limits: Limits{Linger: time.Hour, IdleTimeout: time.Hour}},
		Request: OpenRequest{Terminal: &Terminal{}}, OnEvent: func(Event) {},
	}, p)
}

// endBench ends a session and acknowledges its exit.
func endBench(tb testing.TB, s *Session, st *Stream) {
	s.HangUp("over")
	<-s.Done()
	if _, err := s.Stdin(context.Background(), s.ID(), Stdin{Ack: s.backlog.End()}); err != nil {
		tb.Error(err)
	}
	<-s.Gone()
	if st != nil {
		st.Close()
	}
}

// From the program's read, which costs nothing here, to the client's buffer,
// acknowledged as it is read.
func BenchmarkSessionOutput(b *testing.B) {
	for _, c := range []struct {
		name        string
		chunk, size int
	}{
		{"terminal", 4095, 32 << 10},
		{"pipe", 64 << 10, 32 << 10},
		{"binary", 64 << 10, MaxFrameData},
	} {
		b.Run(c.name, func(b *testing.B) {
			p := newBenchProgram(c.chunk)
			s := benchSession(p, "a")
			st, err := s.Attach("a", home, 0)
			if err != nil {
				b.Fatal(err)
			}
			buf := make([]byte, c.size)
			ctx := context.Background()
			const total = 64 << 20
			var frames, done int
			var acked uint64
			b.ReportAllocs()
			b.SetBytes(total)
			for b.Loop() {
				p.prompt <- total
				for got := 0; got < total; frames++ {
					f, err := st.Next(ctx, buf)
					if err != nil {
						b.Fatal(err)
					}
					if f.Type == FrameStdout {
						got += len(f.Data)
					}
					if f.End-acked >= 64<<10 { // well before the backlog is full
						if _, err := s.Stdin(ctx, "a", Stdin{Ack: f.End}); err != nil {
							b.Fatal(err)
						}
						acked = f.End
					}
				}
				done += total
			}
			b.ReportMetric(float64(done)/float64(frames), "B/frame")
			endBench(b, s, st)
		})
	}
}

// One key in, one byte of echo out.
func BenchmarkSessionKeystroke(b *testing.B) {
	p := newBenchProgram(4095)
	s := benchSession(p, "a")
	st, err := s.Attach("a", home, 0)
	if err != nil {
		b.Fatal(err)
	}
	ctx, buf := context.Background(), make([]byte, 32<<10)
	in := Stdin{Data: []byte("x")}
	b.ReportAllocs()
	for b.Loop() {
		if in.Offset, err = s.Stdin(ctx, "a", in); err != nil {
			b.Fatal(err)
		}
		f, err := st.Next(ctx, buf)
		for err == nil && f.Type != FrameStdout {
			f, err = st.Next(ctx, buf)
		}
		if err != nil {
			b.Fatal(err)
		}
		in.Ack = f.End
	}
	endBench(b, s, st)
}

// 1 MiB requests into a program that reads everything.
func BenchmarkSessionInput(b *testing.B) {
	p := newBenchProgram(64 << 10)
	s := benchSession(discardInput{p}, "a")
	ctx := context.Background()
	in := Stdin{Data: make([]byte, MaxStdinData)}
	b.ReportAllocs()
	b.SetBytes(int64(len(in.Data)))
	for b.Loop() {
		next, err := s.Stdin(ctx, "a", in)
		if err != nil || next != in.Offset+MaxStdinData {
			b.Fatal(next, err)
		}
		in.Offset = next
	}
	endBench(b, s, nil)
}

type discardInput struct{ *benchProgram }

func (discardInput) Stdin() io.WriteCloser { return nopCloser{io.Discard} }

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// The backlog alone, without a goroutine between: two copies and the locks.
func BenchmarkBacklog(b *testing.B) {
	for _, size := range []int{1, 4 << 10, 32 << 10, 256 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			l := NewBacklog(0)
			c, err := l.Cursor(Holding, 0)
			if err != nil {
				b.Fatal(err)
			}
			in, buf := make([]byte, size), make([]byte, size)
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				if err := l.Append(FrameStdout, in); err != nil {
					b.Fatal(err)
				}
				for {
					f, ok, err := c.take(buf)
					if err != nil {
						b.Fatal(err)
					}
					if !ok {
						break
					}
					if err := c.Ack(f.End); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

// 2,000 idle shells: a prompt was shown, somebody is attached, nothing moves.
func TestIdleSessionsAreCheap(t *testing.T) {
	const sessions = 2000
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse
	}
	all := make([]*Session, sessions)
	streams := make([]*Stream, sessions)
	goroutines, before := runtime.NumGoroutine(), heap()
	for i := range all {
		p := newBenchProgram(4095)
		all[i] = benchSession(p, fmt.Sprint(i))
		st, err := all[i].Attach(fmt.Sprint(i), home, 0)
		if err != nil {
			t.Fatal(err)
		}
		streams[i] = st
		p.prompt <- 80
		for f := (Frame{}); f.Type != FrameStdout; {
			if f, err = st.Next(t.Context(), make([]byte, 80)); err != nil {
				t.Fatal(err)
			}
		}
	}
	each := (int64(heap()) - int64(before)) / sessions
	t.Logf("%d bytes and %.1f goroutines a session", each, float64(runtime.NumGoroutine()-goroutines)/sessions)
	if each > 20<<10 {
		t.Errorf("an idle session costs %d bytes", each)
	}
	if n := runtime.NumGoroutine() - goroutines; n > 2*sessions {
		t.Errorf("%d goroutines for %d idle sessions", n, sessions)
	}
	for i, s := range all {
		endBench(t, s, streams[i])
	}
}
