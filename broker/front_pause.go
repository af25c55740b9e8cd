package broker

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// pause is why a front ended that is to be started again later.
type pause struct {
	quiet chan struct{} // closed when no call is under way
	over  chan struct{} // closed when a front may start again
}

func (pause) Error() string { return "the front is suspended" }

// paused returns the pause that ended a front, if one did.
func paused(ended error) (p pause, ok bool) {
	ok = errors.As(ended, &p)
	return p, ok
}

// Suspend ends the front that runs, which cuts its clients' connections, and
// returns when no call is under way any more; none is until resume is called.
// New connections wait in the listening sockets. The error, after which a front
// runs again, is that calls did not end, or [Front.Run] does not run, before ctx
// was done.
func (f *Front) Suspend(ctx context.Context) (resume func(), err error) {
	p := pause{quiet: make(chan struct{}), over: make(chan struct{})}
	select {
	case f.pauses <- p:
	case <-ctx.Done():
		return nil, fmt.Errorf("suspend the front: %w", ctx.Err())
	}
	resume = sync.OnceFunc(func() { close(p.over) })
	select {
	case <-p.quiet:
		return resume, nil
	case <-ctx.Done():
		resume()
		return nil, fmt.Errorf("suspend the front: calls are still under way: %w", ctx.Err())
	}
}

// rest waits for the end of a pause. It takes the place of every connection, so
// that none is left when it has them all.
func (f *Front) rest(ctx context.Context, p pause) {
	taken := 0
	defer func() {
		for range taken {
			<-f.conns
		}
	}()
	for ; taken < cap(f.conns); taken++ {
		select {
		case f.conns <- struct{}{}:
		case <-p.over:
			return
		case <-ctx.Done():
			return
		}
	}
	close(p.quiet)
	select {
	case <-p.over:
	case <-ctx.Done():
	}
}
