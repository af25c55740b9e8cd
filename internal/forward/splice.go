package forward

import (
	"io"
	"net"
	"sync"
)

// Conn is one side of [Splice]. A [Stream] is one; [Socket] makes one of a socket.
type Conn interface {
	io.ReadWriteCloser
	// CloseWrite tells the peer that nothing more comes.
	CloseWrite() error
	// Reset breaks both directions at once, so that the peer sees a broken
	// connection, not an end. It ends a Read and a Write that wait.
	Reset() error
}

var _ Conn = (*Stream)(nil)

// Splice copies from each to the other until both have ended, and closes them. The
// end of one direction leaves the other open. When one breaks, so does the other:
// err is then what broke first. It returns the bytes that came from a and from b.
func Splice(a, b Conn) (fromA, fromB uint64, err error) {
	s := &splicing{a: a, b: b}
	var wait sync.WaitGroup
	wait.Go(func() { fromA = s.oneWay(b, a) })
	fromB = s.oneWay(a, b)
	wait.Wait()
	a.Close()
	b.Close()
	return fromA, fromB, s.err
}

// splicing is what the two directions know of each other.
type splicing struct {
	a, b Conn

	mu      sync.Mutex
	ended   bool  // one direction has, in order
	refused error // why what comes the other way is dropped
	over    bool  // nothing goes either way any more
	err     error
}

// broke breaks both directions.
func (s *splicing) broke(why error) {
	s.mu.Lock()
	first := !s.over
	if first {
		s.over, s.err = true, why
	}
	s.mu.Unlock()
	if first {
		s.a.Reset()
		s.b.Reset()
	}
}

// end says that a direction has ended in order.
func (s *splicing) end() {
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	s.leaveIfAlone()
}

// refuse says that nobody takes what comes one way. While the other goes on the
// peer's last words may still be there, and then nothing is left to wait for.
func (s *splicing) refuse(why error) {
	s.mu.Lock()
	s.refused = why
	s.mu.Unlock()
	s.leaveIfAlone()
}

func (s *splicing) leaveIfAlone() {
	s.mu.Lock()
	alone := s.ended && s.refused != nil && !s.over
	if alone {
		s.over, s.err = true, s.refused
	}
	s.mu.Unlock()
	if alone {
		s.leave()
	}
}

// leave ends a direction whose bytes nobody takes, after the other has ended. A
// stream's peer is told to stop; what a socket was given still arrives.
func (s *splicing) leave() {
	for _, c := range []Conn{s.a, s.b} {
		if stream, ok := c.(*Stream); ok {
			stream.Reset()
		} else {
			c.Close()
		}
	}
}

const (
	smallBuffer = 4 << 10
	largeBuffer = 64 << 10
)

// Thousands of connections wait for bytes most of the time: they do it with
// little memory, and have more of it while much comes.
var (
	smallBuffers = sync.Pool{New: func() any { return new([smallBuffer]byte) }}
	largeBuffers = sync.Pool{New: func() any { return new([largeBuffer]byte) }}
)

// oneWay copies until from ends. A write that fails does not break what comes the
// other way: the rest is read and dropped.
func (s *splicing) oneWay(to, from Conn) (n uint64) {
	small := smallBuffers.Get().(*[smallBuffer]byte)
	defer smallBuffers.Put(small)
	var large *[largeBuffer]byte
	buf := small[:]
	dropped := false
	for {
		got, err := from.Read(buf)
		if got > 0 && !dropped {
			written, failed := to.Write(buf[:got])
			n += uint64(written)
			if dropped = failed != nil; dropped {
				s.refuse(failed)
			}
		}
		// What fails beside bytes fails again without them: a stream whose session
		// is over may have more that it was given before. An error that only
		// wraps io.EOF is the session's, not the stream's.
		if err != nil && got == 0 {
			if err == io.EOF {
				to.CloseWrite()
				s.end()
			} else {
				s.broke(err)
			}
			break
		}
		switch {
		case got == len(buf) && large == nil:
			large = largeBuffers.Get().(*[largeBuffer]byte)
			buf = large[:]
		case got < smallBuffer && large != nil:
			largeBuffers.Put(large)
			large, buf = nil, small[:]
		}
	}
	if large != nil {
		largeBuffers.Put(large)
	}
	return n
}

// Socket returns conn, of TCP or of a Unix socket, for [Splice].
func Socket(conn net.Conn) Conn { return socket{conn} }

type socket struct{ net.Conn }

func (s socket) CloseWrite() error {
	if half, ok := s.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return s.Conn.Close()
}

// Reset has TCP send RST. A Unix socket knows no such thing: its peer sees an end,
// or a broken pipe when it writes.
func (s socket) Reset() error {
	if tcp, ok := s.Conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	return s.Conn.Close()
}
