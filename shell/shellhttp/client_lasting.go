package shellhttp

import (
	"context"
	"errors"
	"time"

	"shellagent/shell"
)

// Lasting is a session that reconnects by itself: when its stream is cut or
// silent it asks for the rest, again and again, from whatever address, and
// input that is under way is sent again. It gives up when the agent says that
// there is no such session, or that another client has taken it over; when
// nobody listens at the agent's address for 10 seconds; and when the agent
// cannot have kept the session any longer.
type Lasting struct {
	*Session
	comeback
}

// Lasting makes the session reconnect by itself. From then on use what it
// returns. tell, unless nil, is told of an outage that lasts for a second, and
// of its end; it must not block.
func (s *Session) Lasting(tell func(Outage)) *Lasting {
	l := &Lasting{Session: s, comeback: newComeback(&s.client.times, s.ctx.Done(), tell)}
	s.lasting.Store(true)
	watch := time.AfterFunc(watchAfter, func() {
		l.readdressed() // it may have happened
		watchAddresses(s.ctx, l.readdressed)
	})
	context.AfterFunc(s.ctx, func() { watch.Stop() })
	return l
}

// watchAfter is how old a session is when it is worth watching this machine's
// addresses for: most are over by then.
const watchAfter = time.Second

func (l *Lasting) readdressed() { l.comeback.readdressed(l.current()) }

// Next is [Session.Next] over as many connections as it takes. It fails with a
// *LostError when no other could be had.
func (l *Lasting) Next(ctx context.Context) (shell.Frame, error) {
	for {
		f, err := l.Session.Next(ctx)
		if !wasLost(err) || ctx.Err() != nil {
			return f, err
		}
		if err := l.awaitContinue(ctx); err != nil {
			return shell.Frame{}, err
		}
		if err := l.reconnect(ctx, l, err); err != nil {
			return shell.Frame{}, err
		}
	}
}

// wasLost says that a stream failed in a way that another can go on from.
func wasLost(err error) bool { return errors.Is(err, ErrCut) || errors.Is(err, ErrSilent) }

// Suspend says that this program stops for a while: the agent has the session
// detached and keeps it for its linger, and nothing reconnects before
// [Lasting.Continue]. It returns false, after a second at most, when the agent
// does not know: it finds out after 25 s. A session whose linger is 0 would be
// ended by being told, and is not.
func (l *Lasting) Suspend() (kept bool) {
	if l.Info().Linger <= 0 || l.hasExited() {
		return false
	}
	l.mu.Lock()
	if l.stopped == nil {
		l.stopped = make(chan struct{})
	}
	l.mu.Unlock()
	timer := time.NewTimer(l.times.suspend)
	defer timer.Stop()
	select {
	case <-l.control.goAway():
		return true
	case <-timer.C:
	case <-l.over:
	}
	return false
}

// Continue goes on after [Lasting.Suspend], where the stream ended.
func (l *Lasting) Continue() {
	l.mu.Lock()
	stopped := l.stopped
	l.stopped = nil
	l.mu.Unlock()
	if stopped == nil {
		return
	}
	if l.control.comeBack() {
		l.current().cancel(ErrCut) // the agent has ended it, which is not always heard
	}
	close(stopped)
}

// awaitContinue waits while the session is suspended.
func (l *Lasting) awaitContinue(ctx context.Context) error {
	l.mu.Lock()
	stopped := l.stopped
	l.mu.Unlock()
	if stopped == nil {
		return nil
	}
	select {
	case <-stopped:
	case <-l.over:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// resumable says what an attempt that failed means for the next.
func (l *Lasting) resumable(err error) outcome {
	l.mu.Lock()
	over := l.failed != nil || l.closed
	l.mu.Unlock()
	if over {
		return sessionFailed
	}
	return resumeVerdict(err)
}

// lastContact is when the agent was last heard.
func (l *Lasting) lastContact() time.Time {
	streamed, answered := l.current().lastHeard(), l.control.lastHeard()
	if answered.After(streamed) {
		return answered
	}
	return streamed
}
