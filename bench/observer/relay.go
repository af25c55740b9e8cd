package observer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// Record is something that passed: a TLS record, or what came in one piece where
// the traffic is no TLS.
type Record struct {
	At   time.Time
	Conn int // number of the connection, in the order of their making
	Up   bool
	Size int // in bytes, with the record's header
}

// Relay passes connections on to a server on this machine and takes notes. It is
// safe for concurrent use.
type Relay struct {
	listener net.Listener
	to       string
	tls      bool
	working  sync.WaitGroup

	mu      sync.Mutex
	records []Record
	conns   []net.Conn
	closed  bool
}

// NewRelay begins to listen on a port of 127.0.0.1. tls says that what passes is
// to be cut into TLS records.
func NewRelay(port int, tls bool) (*Relay, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &Relay{listener: l, to: fmt.Sprintf("127.0.0.1:%d", port), tls: tls}
	r.working.Go(r.serve)
	return r, nil
}

// Port is where the relay listens.
func (r *Relay) Port() int { return r.listener.Addr().(*net.TCPAddr).Port }

// Records returns what passed so far, in order.
func (r *Relay) Records() []Record {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Record(nil), r.records...)
}

// Close ends the relay and its connections.
func (r *Relay) Close() {
	r.listener.Close()
	r.mu.Lock()
	r.closed = true
	for _, c := range r.conns {
		c.Close()
	}
	r.mu.Unlock()
	r.working.Wait()
}

func (r *Relay) serve() {
	for n := 0; ; n++ {
		near, err := r.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", r.to)
		if err != nil {
			near.Close()
			continue
		}
		r.mu.Lock()
		r.conns = append(r.conns, near, far)
		closed := r.closed
		r.mu.Unlock()
		if closed {
			near.Close()
			far.Close()
			return
		}
		r.working.Go(func() { r.pass(far, near, n, true) })
		r.working.Go(func() { r.pass(near, far, n, false) })
	}
}

// pass copies one direction and notes each piece before it goes on.
func (r *Relay) pass(to, from net.Conn, conn int, up bool) {
	defer to.Close()
	defer from.Close()
	next := r.piece
	if r.tls {
		next = r.record
	}
	buf := make([]byte, 64<<10)
	for {
		n, err := next(from, buf)
		if n > 0 {
			r.mu.Lock()
			r.records = append(r.records, Record{At: time.Now(), Conn: conn, Up: up, Size: n})
			r.mu.Unlock()
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (r *Relay) piece(from net.Conn, buf []byte) (int, error) { return from.Read(buf) }

const recordHeader = 5 // RFC 8446 §5.1

var errRecord = errors.New("a TLS record is larger than one may be")

func (r *Relay) record(from net.Conn, buf []byte) (int, error) {
	if _, err := io.ReadFull(from, buf[:recordHeader]); err != nil {
		return 0, err
	}
	end := recordHeader + int(binary.BigEndian.Uint16(buf[3:recordHeader]))
	if end > len(buf) {
		return 0, errRecord
	}
	_, err := io.ReadFull(from, buf[recordHeader:end])
	return end, err
}
