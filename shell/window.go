package shell

import (
	"sync/atomic"
	"time"
)

const (
	// drawnWindow is how much output of a terminal may at least wait for a client
	// that is attached, in bytes: what a person's Ctrl-C must wait for, where
	// the way or their terminal is slow. A session that is left keeps as much as
	// any other.
	drawnWindow = 256 << 10
	// drawnWidest is how much may wait where it is drawn at once, as a terminal
	// nearby does: its client need not say so each few milliseconds.
	drawnWidest = 2 << 20
	// drawnNear is how soon output was once acknowledged where the way is short.
	// There the window grows while it takes no longer than drawnSoon, which a busy
	// machine needs, and shrinks when it takes longer than drawnLate.
	drawnNear = 30 * time.Millisecond
	drawnSoon = 80 * time.Millisecond
	drawnLate = 160 * time.Millisecond
)

// window sizes what may be on its way to a person's terminal by how long it takes
// until that is drawn. A long way keeps it small, though more would fit: a flood
// that nobody can read is not worth a later answer to Ctrl-C.
type window struct {
	size  int
	least time.Duration // the shortest time to an acknowledgement; 0 before one
	// settling says that the next acknowledgement tells of the size before.
	settling bool

	// The offset of a frame whose acknowledgement is waited for, 0 for none, and
	// when it was given. given is the stream's while there is none, and the
	// acknowledgement's while there is one.
	mark  atomic.Uint64
	given time.Time
}

// gave notes that output up to an offset is on its way.
func (w *window) gave(end uint64) {
	if w.mark.Load() == 0 {
		w.given = time.Now()
		w.mark.Store(end)
	}
}

// acknowledged takes an acknowledgement, and says whether size has changed.
// pressed says whether the program has waited for one. It is called under the
// session's lock.
func (w *window) acknowledged(offset uint64, pressed func() bool, now time.Time) bool {
	if mark := w.mark.Load(); mark == 0 || offset < mark {
		return false
	}
	took := max(now.Sub(w.given), 1)
	w.mark.Store(0)
	if w.least == 0 || took < w.least {
		w.least = took
	}
	before := w.size
	switch {
	case !pressed():
	case w.settling:
		w.settling = false
	case w.least <= drawnNear && took <= drawnSoon:
		w.size = min(2*w.size, drawnWidest)
	case took > drawnLate:
		w.size = max(w.size/2, drawnWindow)
	}
	w.settling = w.settling || w.size != before
	return w.size != before
}

// answerRoom is how much output may be on its way, in bytes, beyond a window that
// is full when a key is given to the program: what a Ctrl-C is answered with need
// not wait until more of the flood before it is acknowledged.
const answerRoom = 16 << 10

// makeSpare gives the program answerRoom, until something is acknowledged.
func (b *Backlog) makeSpare() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.narrow > 0 {
		b.spare = answerRoom
		b.changed.Broadcast()
	}
}

// tookPressed says whether a writer has waited for room since it was last asked.
func (b *Backlog) tookPressed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	was := b.pressed
	b.pressed = false
	return was
}
