package record

import (
	"encoding/binary"
	"sync"
	"time"
)

// The open segment's events are kept as they came: one byte of code, the time in
// microseconds (8 bytes, big endian), the length (4), and the data, which ends
// with a whole character. They are quoted when the segment is closed, and those
// of a flood never are.
const eventHead = 1 + 8 + 4

const (
	// segmentEvents is how many bytes of events close a segment before its time.
	// Each costs a signature.
	segmentEvents = 1 << 20
	// leastRoom is what an open segment always has room for.
	leastRoom = 8 << 10

	// frontFree is left free before a frame for its head, frontSize before the
	// events of a flood for that and their own, endSize behind them for what
	// follows them in the file.
	frontFree = frameHeader + headSize
	frontSize = frontFree + frameHeader + 1
	endSize   = 512

	smallEvents = 32 << 10
)

// Buffers of events come in two sizes: a session that shows little needs little.
var (
	smallBuffers = sync.Pool{New: func() any { return newEventBuffer(smallEvents) }}
	largeBuffers = sync.Pool{New: func() any { return newEventBuffer(segmentEvents) }}
)

func newEventBuffer(size int) *[]byte {
	b := make([]byte, frontSize, frontSize+size+endSize)
	return &b
}

// events is a buffer of them. Its zero value has none.
type events struct {
	pooled *[]byte
	buf    []byte // frontSize bytes, then the events
}

func (e *events) size() int { return max(0, len(e.buf)-frontSize) }

func (e *events) list() []byte { return e.buf[min(len(e.buf), frontSize):] }

// full says that the segment is to be closed now.
func (e *events) full() bool { return e.size() > segmentEvents-leastRoom }

// grow makes room for n bytes of events, at most leastRoom, or for a whole
// segment's.
func (e *events) grow(n int, whole bool) {
	if e.pooled != nil && cap(e.buf)-endSize-len(e.buf) >= n {
		return
	}
	pool := &smallBuffers
	if e.pooled != nil || whole {
		pool = &largeBuffers
	}
	pooled := pool.Get().(*[]byte)
	buf := append((*pooled)[:frontSize], e.list()...)
	e.drop()
	e.pooled, e.buf = pooled, buf
}

// drop gives the buffer back.
func (e *events) drop() {
	switch {
	case e.pooled == nil:
	case cap(e.buf) == frontSize+smallEvents+endSize:
		smallBuffers.Put(e.pooled)
	default:
		largeBuffers.Put(e.pooled)
	}
	*e = events{}
}

// room is where the data of the next event may be put, behind a number of bytes
// that were held back.
func (e *events) room(held int) []byte {
	return e.buf[len(e.buf)+eventHead+held : cap(e.buf)-endSize]
}

// put makes n bytes that were put into a room an event, behind what is held back
// of it; held is nil for what is never cut. The room was made for a number of held
// bytes.
func (e *events) put(at time.Duration, code byte, held *runes, room, n int) {
	start := len(e.buf)
	body := e.buf[start+eventHead : cap(e.buf)]
	if held != nil {
		if held.n != room {
			copy(body[held.n:], body[room:room+n])
		}
		copy(body, held.held[:held.n])
		if n = held.cut(body[:held.n+n]); n == 0 {
			return
		}
	}
	e.buf = e.buf[:start+eventHead+n]
	head := e.buf[start:]
	head[0] = code
	binary.BigEndian.PutUint64(head[1:], uint64(max(at, 0).Microseconds()))
	binary.BigEndian.PutUint32(head[9:], uint32(n))
}
