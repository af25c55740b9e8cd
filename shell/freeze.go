package shell

import (
	"context"
	"fmt"
	"time"
)

// Freeze brings the session to a standstill at the boundary of a byte: nothing
// is read from the program or written to it, no limit passes, and every method
// but State and Thaw waits until [Session.Thaw]. Whoever freezes must see to it
// that nobody is in the middle of a call that waits, and must not call anything
// else of the session in between.
//
// A program that is no [Suspender] is waited for, since it ends by itself. The
// error, after which nothing is frozen, is that ctx was done first.
func (s *Session) Freeze(ctx context.Context) error {
	suspender, ok := s.program.(Suspender)
	if !ok {
		select {
		case <-s.done:
		case <-ctx.Done():
			return fmt.Errorf("session %s: its program cannot be suspended: %w", s.cfg.ID, ctx.Err())
		}
	} else {
		suspender.Suspend()
	}
	stop := context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.still.Broadcast()
	})
	defer stop()
	s.mu.Lock()
	for (s.input.feeding || s.telling > 0) && ctx.Err() == nil {
		s.still.Wait()
	}
	if s.input.feeding || s.telling > 0 {
		s.resumeInput()
		s.mu.Unlock()
		return fmt.Errorf("session %s does not come to rest: %w", s.cfg.ID, ctx.Err())
	}
	s.backlog.freeze()
	return nil // with the lock held
}

// Thaw lets a frozen session go on as if nothing had been.
func (s *Session) Thaw() {
	s.backlog.thaw()
	s.resumeInput()
	s.unlock()
}

// resumeInput undoes Suspend; the lock is held.
func (s *Session) resumeInput() {
	if suspender, ok := s.program.(Suspender); ok {
		suspender.Unsuspend()
	}
	s.feedMore()
}

// AwaitClient is called when the agent itself cuts the connection of a client,
// before or within 2 seconds after: a client that is attached, or was until then,
// has 25 seconds to come back, whatever linger says.
func (s *Session) AwaitClient() {
	s.mu.Lock()
	defer s.unlock()
	if now := time.Now(); s.stream != nil || now.Sub(s.detachedAt) <= ownLoss {
		s.awaited = true
		s.lastHeard = latest(s.lastHeard, now)
	}
}

// freeze lends nothing from now on, and returns when nothing is lent.
func (b *Backlog) freeze() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.frozen = true
	for b.lent != nil {
		b.changed.Wait()
	}
}

func (b *Backlog) thaw() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.frozen = false
	b.changed.Broadcast()
}
