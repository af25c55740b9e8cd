package broker

import (
	"context"
	"net/netip"
	"sync"
)

// Turns bounds how many callers do something at once, and shares the turns
// fairly between the addresses they come from.
//
// It is what keeps a flood from starving anybody. Verifying a token costs some
// 50 µs of CPU before it is known whether the caller may be here at all; with
// as many turns as CPUs, any number of callers keeps at most that many threads
// busy and the goroutines that move the bytes of live sessions find a short
// run queue. Who gets the next turn is decided in two steps:
//
//   - urgent callers first, in their order. Only a caller that names a live
//     session's key is urgent: nobody else can guess one, so a flood is not.
//     (A key that policy lists is deliberately not urgent. Its thumbprint is
//     public, and an answer that comes sooner would tell a stranger that it is
//     listed here.)
//   - then one caller of each waiting address in turn. An address that sends
//     ten thousand requests waits behind itself; another's single request
//     waits for at most one turn of each address that floods. IPv6 addresses
//     count by their /64, which is what one customer gets.
//
// Some turns may be reserved for urgent callers, so that one of them does not
// even wait for a turn to end.
type Turns struct {
	reserved int

	mu     sync.Mutex
	free   int
	urgent []*waiter
	queues map[netip.Prefix]*addressQueue
	ring   []*addressQueue // those that have waiters, next one first
}

// addressQueue holds the callers from one address that wait, in their order.
type addressQueue struct {
	from    netip.Prefix
	waiting []*waiter
}

// waiter is one caller; granted is guarded by Turns.mu and told by ready.
type waiter struct {
	ready   chan struct{}
	granted bool
}

// NewTurns returns n turns (at least one), of which reserved (less than n) are
// for urgent callers only.
func NewTurns(n, reserved int) *Turns {
	n = max(n, 1)
	return &Turns{free: n, reserved: max(0, min(reserved, n-1)), queues: make(map[netip.Prefix]*addressQueue)}
}

// Take waits for a turn, which [Turns.Done] gives back. Its error is ctx's,
// and then there is nothing to give back.
func (t *Turns) Take(ctx context.Context, from netip.Addr, urgent bool) error {
	t.mu.Lock()
	if t.takeFree(urgent) {
		t.mu.Unlock()
		return nil
	}
	w := &waiter{ready: make(chan struct{})}
	t.enqueue(w, from, urgent)
	t.mu.Unlock()
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
		t.mu.Lock()
		defer t.mu.Unlock()
		if w.granted {
			t.release()
		} else {
			t.forget(w, from, urgent)
		}
		return ctx.Err()
	}
}

// TryTake takes a turn if there is one to be had without waiting.
func (t *Turns) TryTake(urgent bool) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.takeFree(urgent)
}

// takeFree overtakes nobody: callers wait only while nothing is free for their
// kind.
func (t *Turns) takeFree(urgent bool) bool {
	if t.free > t.reserved || urgent && t.free > 0 {
		t.free--
		return true
	}
	return false
}

// Done gives a turn back.
func (t *Turns) Done() {
	t.mu.Lock()
	t.release()
	t.mu.Unlock()
}

func (t *Turns) enqueue(w *waiter, from netip.Addr, urgent bool) {
	if urgent {
		t.urgent = append(t.urgent, w)
		return
	}
	key := Neighbourhood(from)
	q := t.queues[key]
	if q == nil {
		q = &addressQueue{from: key}
		t.queues[key] = q
		t.ring = append(t.ring, q)
	}
	q.waiting = append(q.waiting, w)
}

// release passes a turn on, or keeps it free when nobody may have it.
func (t *Turns) release() {
	t.free++
	if len(t.urgent) > 0 {
		w := t.urgent[0]
		t.urgent = t.urgent[1:]
		t.grant(w)
		return
	}
	if t.free <= t.reserved || len(t.ring) == 0 {
		return
	}
	q := t.ring[0]
	w := q.waiting[0]
	q.waiting = q.waiting[1:]
	t.ring = t.ring[1:]
	if len(q.waiting) > 0 {
		t.ring = append(t.ring, q)
	} else {
		delete(t.queues, q.from)
	}
	t.grant(w)
}

func (t *Turns) grant(w *waiter) {
	t.free--
	w.granted = true
	close(w.ready)
}

// forget takes a caller that gave up out of its queue.
func (t *Turns) forget(w *waiter, from netip.Addr, urgent bool) {
	if urgent {
		t.urgent = without(t.urgent, w)
		return
	}
	q := t.queues[Neighbourhood(from)]
	q.waiting = without(q.waiting, w)
	if len(q.waiting) == 0 {
		delete(t.queues, q.from)
		t.ring = without(t.ring, q)
	}
}

func without[T comparable](all []T, one T) []T {
	for i, each := range all {
		if each == one {
			return append(all[:i], all[i+1:]...)
		}
	}
	return all
}

// Neighbourhood is the address range that counts as one: an IPv4 address, or
// an IPv6 /64. Callers without an address share one.
func Neighbourhood(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits)
	return p
}
