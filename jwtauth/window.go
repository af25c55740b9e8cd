package jwtauth

import (
	"fmt"
	"sync"
)

// WindowWidth is how far a counter may lie behind the highest one: more than
// the requests that a client has in flight.
const WindowWidth = 64

// Window takes every counter of one session at most once, as IPsec does with
// sequence numbers (RFC 4303 §3.4.3): the last [WindowWidth] may come in any
// order, older ones are refused. It needs no clock and no memory that grows.
// The zero value is ready; it is safe for concurrent use.
type Window struct {
	mu   sync.Mutex
	high uint64
	seen uint64 // bit i: high − i was taken
}

// Accept takes a counter, which starts at 1, or refuses with an *[Error] of
// ReasonCounter. Call it when the token's signature and request hold, so that
// nobody else moves the window.
func (w *Window) Accept(counter uint64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case counter == 0:
		return refuse(ReasonCounter, errCounter)
	case counter > w.high:
		// A shift by the width or more leaves nothing, as it should.
		w.seen = w.seen<<(counter-w.high) | 1
		w.high = counter
		return nil
	case w.high-counter >= WindowWidth:
		return refuse(ReasonCounter, fmt.Errorf("counter %d is too far behind %d", counter, w.high))
	}
	bit := uint64(1) << (w.high - counter)
	if w.seen&bit != 0 {
		return refuse(ReasonCounter, fmt.Errorf("counter %d was taken before", counter))
	}
	w.seen |= bit
	return nil
}

// Take is Accept for a token under a [MAC], whose request may be checked after
// it, once. Any other token is taken as well.
func (w *Window) Take(t *Token) error {
	if err := w.Accept(t.counter); err != nil {
		return err
	}
	t.taken = true
	return nil
}
