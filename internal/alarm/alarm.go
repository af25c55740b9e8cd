// Package alarm wakes a goroutine at set moments, more exactly than time.Timer
// where the system can: on Linux within some 50 µs, where Go's own timers are
// late by up to a millisecond in a process that is otherwise idle (its poller
// waits for whole milliseconds).
package alarm

import (
	"sync"
	"time"
)

// Alarm goes off at one moment at a time. Wait is for one goroutine, everything
// else is safe for concurrent use. It holds a file descriptor on Linux: Close it.
type Alarm struct {
	exact  *exactTimer // nil where there is none to be had
	plain  *time.Timer // in its place
	closed chan struct{}
	once   sync.Once
}

// New returns an alarm that is not set.
func New() *Alarm {
	a := &Alarm{closed: make(chan struct{})}
	if a.exact = newExactTimer(); a.exact == nil {
		return NewPlain()
	}
	return a
}

// NewPlain returns an alarm of Go's own timers, which go by the clock of a test
// where that has one (testing/synctest).
func NewPlain() *Alarm {
	a := &Alarm{closed: make(chan struct{}), plain: time.NewTimer(time.Hour)}
	a.plain.Stop()
	return a
}

// Set has the alarm go off at a moment, which replaces the one before. One that
// has passed is now.
func (a *Alarm) Set(at time.Time) {
	d := max(time.Until(at), 1)
	if a.exact != nil {
		a.exact.set(d)
		return
	}
	a.plain.Reset(d)
}

// Wait returns true when the alarm went off, and false when it was closed.
func (a *Alarm) Wait() bool {
	if a.exact != nil {
		return a.exact.wait()
	}
	select {
	case <-a.plain.C:
	case <-a.closed:
	}
	select {
	case <-a.closed:
		return false
	default:
		return true
	}
}

// Close ends the alarm and whoever waits for it.
func (a *Alarm) Close() {
	a.once.Do(func() {
		close(a.closed)
		if a.exact != nil {
			a.exact.close()
		} else {
			a.plain.Stop()
		}
	})
}
