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
	var first sync.Once
	broke := func(why error) {
		first.Do(func() { err = why })
		a.Reset()
		b.Reset()
	}
	var wait sync.WaitGroup
	wait.Go(func() { fromA = oneWay(b, a, broke) })
	fromB = oneWay(a, b, broke)
	wait.Wait()
	a.Close()
	b.Close()
	return fromA, fromB, err
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
// other way, where the peer's last words may still be: the rest is read and
// dropped, until the other direction says how it ended.
func oneWay(to, from Conn, broke func(error)) (n uint64) {
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
			dropped = failed != nil
		}
		if err == io.EOF { // itself: a stream's error when all of them broke wraps it
			to.CloseWrite()
			err = nil
			break
		}
		if err != nil {
			broke(err)
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
