package shell

import "slices"

// maxInput is how many bytes of input wait for a program that does not read.
const maxInput = 256 << 10

// input is a session's standard input: what was taken and not yet written. It
// is guarded by the session's lock; an idle one holds no memory.
type input struct {
	next  uint64 // offset of the next byte to be taken
	given uint64 // bytes written to the program, or lost with its interest
	eof   bool   // input ends at next

	queue  []*segment // written from the first, filled at the last
	read   int        // bytes of the first that are written
	queued int

	ready   bool // a segment is kept though it is empty: under cover
	feeding bool // a goroutine is writing
	shut    bool // the program was told the end
	broken  bool // the program does not read any more

	waiting []uint64      // offsets of the requests that wait for room or their turn
	changed chan struct{} // closed at the next change; nil when nobody waits
}

// push takes as much of p as there is room for.
func (in *input) push(p []byte) (taken int) {
	if in.broken {
		in.next += uint64(len(p))
		in.given = in.next
		return len(p)
	}
	for len(p) > 0 && in.queued < maxInput {
		if len(in.queue) == 0 || in.last().n == len(in.last().buf) {
			in.queue = append(in.queue, newSegment(in.class(len(p))))
		}
		g := in.last()
		n := copy(g.buf[g.n:], p[:min(len(p), maxInput-in.queued)])
		g.n += n
		in.queued += n
		taken += n
		p = p[n:]
	}
	in.next += uint64(taken)
	return taken
}

// keepReady has a segment at hand from now on, so that taking a key costs no more
// than taking none.
func (in *input) keepReady() {
	if in.ready = !in.broken; in.ready && len(in.queue) == 0 {
		in.queue = append(in.queue, newSegment(0))
	}
}

// rest undoes keepReady.
func (in *input) rest() {
	in.ready = false
	if in.queued == 0 && !in.feeding && len(in.queue) == 1 {
		in.pop(0)
	}
}

func (in *input) last() *segment { return in.queue[len(in.queue)-1] }

// pipedInput is the class of the segments of what is piped: as much is written to the
// program at once, and what takes long is told by when such a write ends.
const pipedInput = 3

// class is small for what is typed, a page for what is pasted, and large for what
// is piped.
func (in *input) class(n int) int {
	switch {
	case in.queued == 0 && n <= segmentSizes[0]:
		return 0
	case in.queued == 0 && n <= segmentSizes[1]:
		return 1
	}
	return pipedInput
}

// front is what to write next. It stays valid until pop.
func (in *input) front() []byte {
	if in.queued == 0 {
		return nil
	}
	g := in.queue[0]
	return g.buf[in.read:g.n]
}

// pop forgets the first n bytes, which were written.
func (in *input) pop(n int) {
	in.read += n
	in.queued -= n
	in.given += uint64(n)
	if g := in.queue[0]; in.read == g.n {
		in.read = 0
		if in.ready && len(in.queue) == 1 {
			clear(g.buf[:g.n])
			g.n = 0
			return
		}
		forget(g)
		kept := copy(in.queue, in.queue[1:])
		in.queue[kept] = nil
		in.queue = in.queue[:kept]
		if kept == 0 && cap(in.queue) > 8 {
			in.queue = nil
		}
	}
}

// discard drops what is queued: nobody will read it.
func (in *input) discard() {
	in.broken = true
	for _, g := range in.queue {
		forget(g)
	}
	in.queue, in.read, in.queued = nil, 0, 0
	in.given = in.next
}

// forget gives back a segment without what was typed, which may be a password.
func forget(g *segment) {
	clear(g.buf[:g.n])
	g.recycle()
}

// wait notes a request that waits.
func (in *input) wait(offset uint64) { in.waiting = append(in.waiting, offset) }

// unwait forgets a request that waited, and lets later ones look whether it is
// their turn.
func (in *input) unwait(offset uint64) {
	i := slices.Index(in.waiting, offset)
	in.waiting = slices.Delete(in.waiting, i, i+1)
	in.notify()
}

// follows says whether a request waits that comes before the offset.
func (in *input) follows(offset uint64) bool {
	return slices.ContainsFunc(in.waiting, func(o uint64) bool { return o < offset })
}

// end wakes whoever waits, because the session ended. A writer in the middle of
// a Write discards the queue itself.
func (in *input) end() {
	if !in.feeding {
		in.discard()
	}
	in.notify()
}

// notify wakes the calls that wait for a change.
func (in *input) notify() {
	if in.changed != nil {
		close(in.changed)
		in.changed = nil
	}
}
