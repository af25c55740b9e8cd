package shell

import (
	"sort"
	"sync"
)

// A record in a segment is one byte of type, its length as 24 bits, and data.
const recordHeader = 4

// Segments grow from what a prompt needs, which is all that an idle shell ever
// does, over a page to what a pipe holds, and to what programs write at once.
var segmentSizes = [...]int{1 << 10, 4 << 10, 16 << 10, 64 << 10, 128 << 10}

// segmentPools hold free segments of each size, over all sessions.
var segmentPools [len(segmentSizes)]sync.Pool

// segment is one piece of memory with records one after the other. Bytes below
// n never change once they are there, except the length of the last record.
type segment struct {
	off  uint64 // output offset of the first record
	pos  uint64 // bytes of records in all segments before this one
	n    int    // bytes of buf that are records
	last int    // index of the last record's header; below n, or 0 when n is 0
	buf  []byte
}

// newSegment returns an empty segment of the given class, from the pool if it
// has one.
func newSegment(class int) *segment {
	if g, ok := segmentPools[class].Get().(*segment); ok {
		return g
	}
	return &segment{buf: make([]byte, segmentSizes[class])}
}

// recycle gives the segment back. Nobody may use it afterwards.
func (g *segment) recycle() {
	for class, size := range segmentSizes {
		if len(g.buf) == size {
			*g = segment{buf: g.buf}
			segmentPools[class].Put(g)
			return
		}
	}
}

// record reads the header at index at.
func (g *segment) record(at int) (t FrameType, n int) {
	h := g.buf[at : at+recordHeader]
	return FrameType(h[0]), int(h[1])<<16 | int(h[2])<<8 | int(h[3])
}

// setRecord writes the header at index at and makes it the last one.
func (g *segment) setRecord(at int, t FrameType, n int) {
	h := g.buf[at : at+recordHeader]
	h[0], h[1], h[2], h[3] = byte(t), byte(n>>16), byte(n>>8), byte(n)
	g.last, g.n = at, at+recordHeader+n
}

// continues says whether more data of type t would extend the last record.
func (g *segment) continues(t FrameType) bool {
	if g.n == 0 {
		return false
	}
	last, _ := g.record(g.last)
	return last == t
}

// place is where an output offset lies in a backlog. It stays at the end of a
// record until another one follows, because the record may still grow.
type place struct {
	seq uint64 // number of the segment
	at  int    // index of the record's header
	in  uint64 // offsets of the record that are behind
}

// find returns the place of an offset between the first segment's and the end.
func (b *Backlog) find(off uint64) place {
	i := sort.Search(len(b.segs), func(i int) bool { return b.segs[i].off > off }) - 1
	g := b.segs[i]
	p := place{seq: b.first + uint64(i)}
	for in := off - g.off; p.at < g.n; {
		t, n := g.record(p.at)
		if width := t.Width(n); in < width || p.at == g.last {
			p.in = in
			break
		} else {
			in -= width
		}
		p.at += recordHeader + n
	}
	return p
}

// seek moves p on to the record that holds the next byte, if there is one.
func (b *Backlog) seek(p *place) (g *segment, t FrameType, n int, ok bool) {
	for {
		g = b.segs[p.seq-b.first]
		if p.at < g.n {
			if t, n = g.record(p.at); p.in < t.Width(n) {
				return g, t, n, true
			}
			if p.at < g.last {
				p.at, p.in = p.at+recordHeader+n, 0
				continue
			}
		}
		if p.seq == b.first+uint64(len(b.segs))-1 {
			return nil, 0, 0, false
		}
		*p = place{seq: p.seq + 1}
	}
}

// position is how many bytes of records lie before the offset.
func (b *Backlog) position(off uint64) uint64 {
	if off == b.end {
		return b.size
	}
	p := b.find(off)
	pos := b.segs[p.seq-b.first].pos + uint64(p.at)
	if p.in > 0 {
		pos += recordHeader + p.in
	}
	return pos
}
