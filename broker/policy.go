package broker

import (
	"context"
	"errors"
	"time"

	"shellagent/shell"
	"shellagent/sources"
)

// SetPolicy puts p in force for everything from now on and asks it again for
// every live session with the request that opened it: one that it no longer
// allows is told so and hung up, and the limits it gives apply at once.
func (b *Broker) SetPolicy(ctx context.Context, p *sources.Policy) {
	b.policy.Store(p)
	b.mu.Lock()
	all := make([]*live, 0, len(b.lives))
	for _, l := range b.lives {
		all = append(all, l)
	}
	b.mu.Unlock()
	for _, l := range all {
		b.askAgain(ctx, p, l)
	}
}

// askAgain is what SetPolicy does to one session. A session that is admitted
// while SetPolicy runs asks for itself, so none is missed.
func (b *Broker) askAgain(ctx context.Context, p *sources.Policy, l *live) {
	ask := l.request
	ask.Now = b.now()
	grant, err := p.Decide(ctx, ask)
	if err == nil && grant.Credential.UID != l.uid {
		err = shell.Deny(shell.ReasonUser, nil)
	}
	if err == nil {
		l.session.Regrant(grant)
		return
	}
	if errors.Is(err, sources.ErrUndecided) {
		b.logger(l.session).Warn("policy could not be asked again for a live session; it goes on", "err", err)
		return
	}
	b.logger(l.session).Info("session ended by policy", "err", err)
	l.session.Notify(shell.Notice{Code: "policy", Text: "this session is no longer allowed: the agent's configuration changed"})
	l.session.HangUp("no longer allowed by policy")
}

// Expire asks the policy in force again for every live session, so that what
// ends with time (a key's notAfter) ends sessions too. It returns when ctx is
// done.
func (b *Broker) Expire(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			b.SetPolicy(ctx, b.Policy())
		}
	}
}
