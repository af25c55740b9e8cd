package shell

import "time"

const (
	// WideBacklog is what the limit of a backlog without a terminal grows to, in
	// bytes, when that is less than what is on its way to the client and back.
	WideBacklog = 16 << 20
	// farAck and lostAck bound how long a program waits for a client that reads
	// as fast as a long way lets it: a shorter wait is nobody's loss, and who
	// makes it wait for longer does not read.
	farAck  = 20 * time.Millisecond
	lostAck = time.Second
)

// waitForRoom waits for a change, and doubles the limit when the client's
// acknowledgement came after the time that a long way takes. What a tap still
// kept it waiting for then is no way at all. The lock is held.
func (b *Backlog) waitForRoom() {
	began := time.Now()
	b.acked = time.Time{}
	for !b.sealed && !b.closed && !b.frozen && b.room() < b.step {
		b.changed.Wait()
	}
	if b.room() < b.step || b.acked.IsZero() {
		return
	}
	if waited := b.acked.Sub(began); waited >= farAck && waited < lostAck {
		b.limit = max(b.limit, min(2*b.limit, b.widest))
	}
}

// ackedBy notes when the client first acknowledged something while the program
// waits.
func (b *Backlog) ackedBy(c *Cursor) {
	if b.acked.IsZero() && c.kind == Holding && c.leisure == nil && b.widest > 0 && b.room() < b.step {
		b.acked = time.Now()
	}
}
