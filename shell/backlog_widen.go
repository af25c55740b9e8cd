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

// waitForRoom waits for a change, and doubles the limit when room came after
// the time that a long way takes. The lock is held.
func (b *Backlog) waitForRoom() {
	began := time.Now()
	for !b.sealed && !b.closed && !b.frozen && b.room() < b.step {
		b.changed.Wait()
	}
	waited := time.Since(began)
	if b.room() >= b.step && waited >= farAck && waited < lostAck {
		b.limit = max(b.limit, min(2*b.limit, b.widest))
	}
}
