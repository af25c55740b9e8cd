package shellhttp

import (
	"fmt"
	"io"
	"testing"

	"shellagent/shell"
)

// frameLoop yields the same frame for ever, or n times.
type frameLoop struct {
	frame []byte
	at    int
	n     int
}

func (l *frameLoop) Read(p []byte) (int, error) {
	if l.n == 0 {
		return 0, io.EOF
	}
	n := copy(p, l.frame[l.at:])
	if l.at += n; l.at == len(l.frame) {
		l.at = 0
		l.n--
	}
	return n, nil
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) Flush() error                { return nil }

func BenchmarkServe(b *testing.B) {
	for _, size := range []int{1, 4 << 10, 32 << 10} {
		frame := shell.AppendFrame(nil, shell.Frame{Type: shell.FrameStdout, End: 1 << 40, Data: make([]byte, size)})
		for name, serve := range map[string]func(flushWriter, io.Reader) error{"sse": encodeEvents, "frames": copyFrames} {
			b.Run(fmt.Sprintf("%s/%d", name, size), func(b *testing.B) {
				b.SetBytes(int64(size))
				b.ReportAllocs()
				if err := serve(discard{}, &frameLoop{frame: frame, n: b.N}); err != nil {
					b.Fatal(err)
				}
			})
		}
	}
}

func BenchmarkReceive(b *testing.B) {
	for _, size := range []int{1, 32 << 10} {
		f := shell.Frame{Type: shell.FrameStdout, End: 1 << 40, Data: make([]byte, size)}
		event, err := appendEvent(nil, f)
		if err != nil {
			b.Fatal(err)
		}
		for name, r := range map[string]func(n int) frameReader{
			"sse":    func(n int) frameReader { return newEventReader(&frameLoop{frame: event, n: n}) },
			"frames": func(n int) frameReader { return newBinaryReader(&frameLoop{frame: shell.AppendFrame(nil, f), n: n}) },
		} {
			b.Run(fmt.Sprintf("%s/%d", name, size), func(b *testing.B) {
				b.SetBytes(int64(size))
				b.ReportAllocs()
				r := r(b.N)
				for range b.N {
					if _, err := r.next(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkExec is a whole session of a cold client: two connections, the open,
// the output, the exit and its acknowledgement.
func BenchmarkExec(b *testing.B) {
	broker := newTestBroker(b, map[string]script{"say": sayScript("hello\n", "", 0)})
	server := serve(b, broker)
	for range b.N {
		c := server.client(b)
		s := open(b, c, "say", shell.OpenRequest{})
		readAll(b, s)
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		c.Close()
	}
}

// BenchmarkEcho is a keystroke to its echo, through both halves.
func BenchmarkEcho(b *testing.B) {
	broker := newTestBroker(b, map[string]script{"cat": catScript})
	s := open(b, serve(b, broker).client(b), "cat", shell.OpenRequest{Terminal: terminal})
	b.ReportAllocs()
	for range b.N {
		if _, err := s.Write([]byte("x")); err != nil {
			b.Fatal(err)
		}
		for {
			f, err := s.Next(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			s.Ack(f.End)
			if f.Type == shell.FrameStdout {
				break
			}
		}
	}
}
