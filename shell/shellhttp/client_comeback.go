package shellhttp

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// errMoved cuts a stream whose connection has lost its address.
var errMoved = fmt.Errorf("%w: this machine's address has changed", ErrCut)

// LostError says that a session was not reached again after its connection was
// lost.
type LostError struct {
	// Cause is how the connection was lost: [ErrCut] or [ErrSilent].
	Cause error
	// Last is what the last attempt came to. Gone says that it was the agent's
	// answer: there is no such session any more.
	Last error
	Gone bool
	// Tried is how long it was tried for.
	Tried time.Duration
}

func (e *LostError) Error() string {
	return fmt.Sprintf("%v, and connecting again failed for %v: %v", e.Cause, e.Tried.Round(time.Second), e.Last)
}

// Unwrap returns Cause. Last is not in the chain: it may be an io.EOF, which
// means something else where this error is returned.
func (e *LostError) Unwrap() error { return e.Cause }

// Outage is a connection that is lost for longer than a moment.
type Outage struct {
	// Cause is how it was lost: [ErrCut] or [ErrSilent].
	Cause error
	// Over says that it is back, or given up.
	Over bool
}

// returning has a stream that may be had again: a session, or a look at one.
type returning interface {
	// Resume tries once to go on where the stream ended.
	Resume(context.Context) error
	// resumable says what an attempt that failed means for the next.
	resumable(error) outcome
	// lastContact is when the agent was last heard.
	lastContact() time.Time
	// kept is how long after the last contact it is worth trying.
	kept() time.Duration
}

// comeback has a stream again after its connection was lost, again and again,
// from whatever address.
type comeback struct {
	times *clientTimes
	tell  func(Outage)    // or nil
	over  <-chan struct{} // closed when nobody wants the stream any more
	moved chan struct{}   // holds one: this machine's addresses have changed
}

func newComeback(times *clientTimes, over <-chan struct{}, tell func(Outage)) comeback {
	return comeback{times: times, tell: tell, over: over, moved: make(chan struct{}, 1)}
}

// readdressed is called when this machine's addresses have changed. A
// connection whose address is gone is dead, though nobody will say so.
func (c *comeback) readdressed(st *stream) {
	select {
	case c.moved <- struct{}{}:
	default:
	}
	if local := st.over.local; local != nil && !isOurs(local.IP) {
		st.cancel(errMoved)
	}
}

// reconnect tries until r has a stream again, or has none for good. It fails
// with a *LostError when no other could be had.
func (c *comeback) reconnect(ctx context.Context, r returning, cause error) error {
	defer c.noticed(cause)()
	c.hasMoved() // which may be why the connection was lost
	began := time.Now()
	var refused time.Time // since when nobody listens
	for try := 1; ; try++ {
		err := c.tryResume(ctx, r)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !isRefused(err):
			refused = time.Time{}
		case refused.IsZero():
			refused = time.Now()
		}
		tried := &LostError{Cause: cause, Last: err, Tried: time.Since(began)}
		switch r.resumable(err) {
		case again:
		case sessionOver:
			tried.Gone = true
			return tried
		default:
			return err
		}
		if !refused.IsZero() && time.Since(refused) >= c.times.refused ||
			time.Since(r.lastContact()) >= r.kept() {
			return tried
		}
		if c.pause(ctx, backoff(try)) {
			try = 0
		}
	}
}

// tryResume tries once. It gives an attempt up, after a second, that a change
// of addresses has made pointless.
func (c *comeback) tryResume(ctx context.Context, r returning) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done := make(chan error, 1)
	go func() { done <- r.Resume(ctx) }()
	fair := time.NewTimer(time.Second)
	defer fair.Stop()
	var moved chan struct{} // nil for the first second
	for {
		select {
		case err := <-done:
			return err
		case <-fair.C:
			moved = c.moved
		case <-moved:
			cancel(errMoved)
			return <-done
		}
	}
}

// pause waits between attempts. It returns true, early, when this machine's
// addresses have changed.
func (c *comeback) pause(ctx context.Context, d time.Duration) bool {
	// Addresses that change all the time are no reason to try all the time.
	least := min(d, backoff(1))
	if !pause(ctx, least) {
		return false
	}
	t := time.NewTimer(d - least)
	defer t.Stop()
	select {
	case <-c.moved:
		return true
	case <-t.C:
	case <-c.over:
	case <-ctx.Done():
	}
	return false
}

// hasMoved says whether addresses have changed since it was last asked.
func (c *comeback) hasMoved() bool {
	select {
	case <-c.moved:
		return true
	default:
		return false
	}
}

// noticed tells of an outage, once it has lasted, and of its end.
func (c *comeback) noticed(cause error) (over func()) {
	if c.tell == nil {
		return func() {}
	}
	var mu sync.Mutex
	told, ended := false, false
	timer := time.AfterFunc(c.times.noticeable, func() {
		mu.Lock()
		defer mu.Unlock()
		if told = !ended; told {
			c.tell(Outage{Cause: cause})
		}
	})
	return func() {
		timer.Stop()
		mu.Lock()
		defer mu.Unlock()
		if ended = true; told {
			c.tell(Outage{Cause: cause, Over: true})
		}
	}
}

// resumeVerdict classifies what an attempt to have a stream again came to.
func resumeVerdict(err error) outcome {
	switch {
	case errors.Is(err, ErrStream), errors.Is(err, ErrHost), errors.Is(err, errSign):
		return sessionFailed
	case isProblem(err):
		return verdict(err)
	default:
		return again
	}
}

func isProblem(err error) bool {
	var p *Problem
	return errors.As(err, &p)
}

// isRefused says that a machine answered, and nobody listens there.
func isRefused(err error) bool {
	const wsaeConnRefused = syscall.Errno(10061) // syscall has another number for it on Windows
	var e syscall.Errno
	return errors.As(err, &e) && (e == syscall.ECONNREFUSED || runtime.GOOS == "windows" && e == wsaeConnRefused)
}
