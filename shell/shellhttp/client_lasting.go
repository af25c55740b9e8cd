package shellhttp

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"syscall"
	"time"

	"shellagent/shell"
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

// Lasting is a session that reconnects by itself: when its stream is cut or
// silent it asks for the rest, again and again, from whatever address, and
// input that is under way is sent again. It gives up when the agent says that
// there is no such session, or that another client has taken it over; when
// nobody listens at the agent's address for 10 seconds; and when the agent
// cannot have kept the session any longer.
type Lasting struct {
	*Session
	tell  func(Outage)
	moved chan struct{} // holds one: this machine's addresses have changed
}

// Lasting makes the session reconnect by itself. From then on use what it
// returns. tell, unless nil, is told of an outage that lasts for a second, and
// of its end; it must not block.
func (s *Session) Lasting(tell func(Outage)) *Lasting {
	l := &Lasting{Session: s, tell: tell, moved: make(chan struct{}, 1)}
	s.lasting.Store(true)
	go watchAddresses(s.ctx, l.readdressed)
	return l
}

// readdressed is called when this machine's addresses have changed. A
// connection whose address is gone is dead, though nobody will say so.
func (l *Lasting) readdressed() {
	select {
	case l.moved <- struct{}{}:
	default:
	}
	l.mu.Lock()
	st := l.stream
	l.mu.Unlock()
	if st.local != nil && !isOurs(st.local.IP) {
		st.cancel(errMoved)
	}
}

// Next is [Session.Next] over as many connections as it takes. It fails with a
// *LostError when no other could be had.
func (l *Lasting) Next(ctx context.Context) (shell.Frame, error) {
	for {
		f, err := l.Session.Next(ctx)
		if !errors.Is(err, ErrCut) && !errors.Is(err, ErrSilent) || ctx.Err() != nil {
			return f, err
		}
		if err := l.reconnect(ctx, err); err != nil {
			return shell.Frame{}, err
		}
	}
}

// reconnect tries until the session has a stream again, or has none for good.
func (l *Lasting) reconnect(ctx context.Context, cause error) error {
	defer l.noticed(cause)()
	l.hasMoved() // which may be why the connection was lost
	began, contact := time.Now(), l.lastContact()
	var refused time.Time // since when nobody listens
	for try := 1; ; try++ {
		err := l.tryResume(ctx)
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
		switch l.resumable(err) {
		case again:
		case sessionOver:
			tried.Gone = true
			return tried
		default:
			return err
		}
		if !refused.IsZero() && time.Since(refused) >= l.client.times.refused ||
			time.Since(l.latest(contact)) >= l.kept() {
			return tried
		}
		if l.pause(ctx, backoff(try)) {
			try = 0
		}
	}
}

// resumable says what an attempt that failed means for the next.
func (l *Lasting) resumable(err error) outcome {
	l.mu.Lock()
	over := l.failed != nil || l.closed
	l.mu.Unlock()
	switch {
	case over, errors.Is(err, ErrStream), errors.Is(err, ErrHost), errors.Is(err, errSign):
		return sessionFailed
	case isProblem(err):
		return verdict(err)
	default:
		return again
	}
}

// tryResume tries once. It gives an attempt up, after a second, that a change
// of addresses has made pointless.
func (l *Lasting) tryResume(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done := make(chan error, 1)
	go func() { done <- l.Resume(ctx) }()
	fair := time.NewTimer(time.Second)
	defer fair.Stop()
	var moved chan struct{} // nil for the first second
	for {
		select {
		case err := <-done:
			return err
		case <-fair.C:
			moved = l.moved
		case <-moved:
			cancel(errMoved)
			return <-done
		}
	}
}

// pause waits between attempts. It returns true, early, when this machine's
// addresses have changed.
func (l *Lasting) pause(ctx context.Context, d time.Duration) bool {
	// Addresses that change all the time are no reason to try all the time.
	least := min(d, backoff(1))
	if !pause(ctx, least) {
		return false
	}
	t := time.NewTimer(d - least)
	defer t.Stop()
	select {
	case <-l.moved:
		return true
	case <-t.C:
	case <-l.ctx.Done():
	case <-ctx.Done():
	}
	return false
}

// hasMoved says whether addresses have changed since it was last asked.
func (l *Lasting) hasMoved() bool {
	select {
	case <-l.moved:
		return true
	default:
		return false
	}
}

// noticed tells of an outage, once it has lasted, and of its end.
func (l *Lasting) noticed(cause error) (over func()) {
	if l.tell == nil {
		return func() {}
	}
	var mu sync.Mutex
	told, ended := false, false
	timer := time.AfterFunc(l.client.times.noticeable, func() {
		mu.Lock()
		defer mu.Unlock()
		if told = !ended; told {
			l.tell(Outage{Cause: cause})
		}
	})
	return func() {
		timer.Stop()
		mu.Lock()
		defer mu.Unlock()
		if ended = true; told {
			l.tell(Outage{Cause: cause, Over: true})
		}
	}
}

// lastContact is when the agent was last heard.
func (l *Lasting) lastContact() time.Time {
	l.mu.Lock()
	st := l.stream
	l.mu.Unlock()
	return l.latest(st.start.Add(time.Duration(st.heard.Load())))
}

// latest is t, or when a request was answered since.
func (l *Lasting) latest(t time.Time) time.Time {
	if heard := l.control.lastHeard(); heard.After(t) {
		return heard
	}
	return t
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
