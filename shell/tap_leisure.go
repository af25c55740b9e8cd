package shell

import "time"

const (
	// tapTime is how long a tap rests after it took all there was, and how long
	// output waits for it that comes later: who keeps it need not run for every
	// key while its echo is on the way.
	tapTime = 20 * time.Millisecond
	// tapEnough is how much output, in bytes, need not wait.
	tapEnough = 256 << 10
)

// leisure is when a cursor is woken that need not be at once. All is under the
// backlog's lock.
type leisure struct {
	timer *time.Timer
	armed bool
}

// takeTime has a cursor woken when there is something worth it.
func (c *Cursor) takeTime() {
	l := &leisure{timer: time.AfterFunc(time.Hour, c.stir)}
	l.timer.Stop()
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	c.leisure = l
	c.b.refloor()
}

// tapEnough is how much output a tap need not leave waiting: of a backlog so
// little that neither the program waits for it nor, if it does not hold, the tap
// is overtaken.
func (b *Backlog) tapEnough(k CursorKind) uint64 {
	enough := tapEnough
	if k != Holding {
		enough = RedrawTail / 4
	}
	return uint64(min(enough, b.limit/4))
}

// urgent says whether a cursor that waits is to be woken now; if not, it will be.
// The lock is held.
func (c *Cursor) urgent() bool {
	l := c.leisure
	if l == nil || c.b.sealed || c.b.end-c.off >= c.b.tapEnough(c.kind) {
		return true
	}
	l.arm()
	return false
}

// stir wakes a cursor that has rested, if there is something for it.
func (c *Cursor) stir() {
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	c.leisure.armed = false
	if c.waiting && c.off < c.b.end {
		c.waiting = false
		c.poke()
	}
}

// rest says that the cursor begins to wait.
func (l *leisure) rest() {
	if l != nil {
		l.arm()
	}
}

func (l *leisure) arm() {
	if !l.armed {
		l.armed = true
		l.timer.Reset(tapTime)
	}
}

// end forgets the timer.
func (l *leisure) end() {
	if l != nil {
		l.timer.Stop()
	}
}
