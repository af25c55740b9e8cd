package forward

import (
	"context"
	"io"
	"math"
	"net"
	"time"

	"github.com/libp2p/go-yamux/v5"
)

const (
	// MaxStreams is how many streams one end may have opened at once. What a
	// helper has an answer for is refused below it; more are reset.
	MaxStreams = 4096
	// spareStreams are answered with a reason before the multiplexer resets.
	spareStreams = 512
	// backlog is how many streams may be opened before the first is answered.
	backlog = 1024
	// maxWindow bounds what is on the way in one stream: what a channel of ssh has.
	maxWindow = 2 << 20
	// maxGrowth bounds what the windows of all streams have grown by, above the
	// 256 KiB that the multiplexer's specification gives each.
	maxGrowth = 64 << 20
	// messageSize keeps one stream's bytes from holding up another's for long.
	messageSize = 32 << 10
	// never is for the multiplexer's timeouts: the session below says when its
	// peer is gone, and may be cut for as long as its source lets it linger.
	never = time.Duration(math.MaxInt64)
)

// Stream is one of the streams of a [Mux]: CloseWrite ends its own direction, Reset
// breaks both, and Close is for one that has been read to its end.
type Stream = yamux.Stream

// Mux carries streams over one connection, by the specification of yamux. Its
// methods may be used concurrently.
type Mux struct{ session *yamux.Session }

// NewClient returns the end that the client has. It owns conn: Close of conn must
// end a Read and a Write of it that wait.
func NewClient(conn io.ReadWriteCloser) (*Mux, error) { return newMux(conn, yamux.Client) }

// NewServer returns the end that the helper has, as [NewClient] does the other.
func NewServer(conn io.ReadWriteCloser) (*Mux, error) { return newMux(conn, yamux.Server) }

type makeSession func(net.Conn, *yamux.Config, func() (yamux.MemoryManager, error)) (*yamux.Session, error)

func newMux(conn io.ReadWriteCloser, end makeSession) (*Mux, error) {
	config := yamux.DefaultConfig()
	config.AcceptBacklog = backlog
	config.EnableKeepAlive = false
	config.MeasureRTTInterval = never // once: what pings is never idle
	config.ConnectionWriteTimeout = never
	config.MaxIncomingStreams = MaxStreams + spareStreams
	config.MaxStreamWindowSize = maxWindow
	config.MaxMessageSize = messageSize
	config.ReadBufSize = messageSize
	config.LogOutput = io.Discard
	growth := &budget{left: maxGrowth}
	session, err := end(pipeConn{conn}, config, func() (yamux.MemoryManager, error) { return &span{of: growth}, nil })
	if err != nil {
		return nil, err
	}
	return &Mux{session}, nil
}

// Open begins a stream. It waits while the peer has not answered a thousand
// earlier ones.
func (m *Mux) Open(ctx context.Context) (*Stream, error) {
	type opened struct {
		stream *Stream
		err    error
	}
	// yamux forgets a stream whose context ends while it is being announced.
	done := make(chan opened, 1)
	go func() {
		s, err := m.session.OpenStream(context.Background())
		done <- opened{s, err}
	}()
	select {
	case o := <-done:
		return o.stream, o.err
	case <-ctx.Done():
		go func() {
			if o := <-done; o.err == nil {
				o.stream.Reset()
			}
		}()
		return nil, ctx.Err()
	}
}

// Accept returns the next stream that the peer opened.
func (m *Mux) Accept() (*Stream, error) { return m.session.AcceptStream() }

// Ask opens a stream with the header and waits for its answer until ctx is done. The
// error is a *[Refusal] when the answer is no.
func (m *Mux) Ask(ctx context.Context, r Request) (*Stream, Answer, error) {
	if err := r.Validate(); err != nil {
		return nil, Answer{}, &Refusal{CodeInvalid, err.Error()}
	}
	return m.ask(ctx, r)
}

// Tell opens a stream for a connection that came in, as [Mux.Ask] does.
func (m *Mux) Tell(ctx context.Context, a Accepted) (*Stream, error) {
	s, _, err := m.ask(ctx, a)
	return s, err
}

func (m *Mux) ask(ctx context.Context, header any) (*Stream, Answer, error) {
	s, err := m.Open(ctx)
	if err != nil {
		return nil, Answer{}, err
	}
	stop := context.AfterFunc(ctx, func() { s.Reset() })
	err = write(s, header)
	var answer Answer
	if err == nil {
		answer, err = ReadAnswer(s)
	}
	if err == nil {
		err = answer.Err()
	}
	if !stop() {
		err = context.Cause(ctx)
	}
	if err != nil {
		s.Reset()
		return nil, Answer{}, err
	}
	return s, answer, nil
}

// Streams returns how many streams there are, of both ends.
func (m *Mux) Streams() int { return m.session.NumStreams() }

// Done is closed when no more streams come or go: the connection ended, or Close was called.
func (m *Mux) Done() <-chan struct{} { return m.session.CloseChan() }

// Close ends all streams and closes the connection.
func (m *Mux) Close() error { return m.session.Close() }
