package broker

import (
	"context"
	"errors"
	"slices"
	"time"

	"shellagent/shell"
	"shellagent/sources"
)

// SetPolicy puts p in force for everything from now on and asks it again for
// every live session with the request that opened it: one that it no longer
// allows is told so and hung up, and the limits it gives apply at once. It
// returns how many it hung up.
func (b *Broker) SetPolicy(ctx context.Context, p *sources.Policy) (ended int) {
	b.policy.Store(p)
	return b.askAll(ctx, p)
}

// askAll asks p for every live session.
func (b *Broker) askAll(ctx context.Context, p *sources.Policy) (ended int) {
	b.again <- struct{}{}
	defer func() { <-b.again }()
	b.mu.Lock()
	all := make([]*live, 0, len(b.lives))
	for _, l := range b.lives {
		all = append(all, l)
	}
	b.mu.Unlock()
	for _, l := range all {
		if !b.askAgain(ctx, p, l) {
			ended++
		}
	}
	return ended
}

// askAgain is what SetPolicy does to one session; false means that it was hung
// up. A session that is admitted while SetPolicy runs asks for itself, so none
// is missed.
func (b *Broker) askAgain(ctx context.Context, p *sources.Policy, l *live) bool {
	ask := l.request
	ask.Now = b.now()
	grant, err := p.Decide(ctx, ask)
	if err == nil && grant.Credential.UID != l.uid {
		err = shell.Deny(shell.ReasonUser, nil)
	}
	was := l.session.Grant()
	if err == nil {
		err = keeps(grant, was)
	}
	// What runs is what it began with, whatever would be started now.
	grant.Path, grant.Argv, grant.Files = was.Path, was.Argv, was.Files
	if err == nil {
		l.session.Regrant(grant)
		return true
	}
	if errors.Is(err, sources.ErrUndecided) {
		b.logger(l.session).Warn("policy could not be asked again for a live session; it goes on", "err", err)
		return true
	}
	b.logger(l.session).Info("session ended by policy", "err", err)
	l.session.Notify(shell.Notice{Code: "policy", Text: "this session is no longer allowed: the agent's configuration changed"})
	l.session.HangUp("no longer allowed by policy")
	return false
}

// keeps says whether a program that runs within what was granted keeps to what is
// granted now.
func keeps(now, was shell.Grant) error {
	switch {
	case now.Forced && (now.Path != was.Path || !slices.Equal(now.Argv, was.Argv)):
		return shell.Deny(shell.ReasonCommand, errors.New("the source forces another command than the one that runs"))
	case was.Files != nil && (now.Files == nil || !now.Files.Covers(*was.Files)):
		return shell.Deny(shell.ReasonAction, errors.New("less may be done with files than the session was begun with"))
	case was.Forward != nil && (now.Forward == nil || !now.Forward.Covers(*was.Forward)):
		return shell.Deny(shell.ReasonAction, errors.New("less may be forwarded than when the session was begun"))
	}
	return nil
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
			// Not SetPolicy: a newer one may have come into force meanwhile.
			b.askAll(ctx, b.Policy())
		}
	}
}
