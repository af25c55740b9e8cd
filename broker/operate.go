package broker

import (
	"context"
	"errors"
	"net/netip"

	"shellagent/shell"
	"shellagent/sources"
)

// Confirmation is somebody's word, given over the network, that a policy lets
// them in.
type Confirmation struct {
	// Policy is the one that was asked about them.
	Policy       *sources.Policy
	Source       string
	Subject, Key string
	Remote       netip.AddrPort
}

// confirm passes on that the caller gets in: their key opens the source under
// the policy in force, now and from where they are.
func (b *Broker) confirm(ctx context.Context, call *shell.Call, who *caller, source string) (*shell.Reply, error) {
	_, err := who.policy.Decide(ctx, sources.Request{
		Source: source, Key: who.key, Claims: who.token.Claims.Map, Remote: call.Remote.Addr(), Now: b.now(),
	})
	var denied *shell.Denied
	// A source without a shell refuses the one that nothing asks for here, and
	// lets its keys in all the same.
	if err != nil && (!errors.As(err, &denied) || denied.Reason != shell.ReasonAction) {
		return nil, err
	}
	if err := b.useUp(who); err != nil {
		return nil, err
	}
	if b.confirms == nil {
		return nil, shell.Deny(shell.ReasonNoTrial, nil)
	}
	err = b.confirms(Confirmation{
		Policy: who.policy, Source: source, Subject: who.policy.Subject(who.kid), Key: who.kid, Remote: call.Remote,
	})
	if err != nil {
		return nil, shell.Deny(shell.ReasonNoTrial, err)
	}
	return answer(struct {
		Confirmed bool `json:"confirmed"`
	}{true})
}

// Sessions lists everybody's sessions, oldest first, for the host's operator.
func (b *Broker) Sessions() []shell.SessionSummary {
	found := b.sessions.List(nil)
	all := make([]shell.SessionSummary, 0, len(found))
	for _, s := range found {
		all = append(all, s.Summary())
	}
	return all
}

// End hangs up the live sessions that match says, whoever's they are, and waits
// until their programs have ended or ctx is done. It returns how many it hung up
// and how many of those have ended. Who may come again is not its business.
func (b *Broker) End(ctx context.Context, match func(shell.SessionSummary) bool, reason string) (found, ended int) {
	all := b.sessions.List(func(s *shell.Session) bool {
		sum := s.Summary()
		return !sum.Ended && match(sum)
	})
	for _, s := range all {
		s.HangUp(reason)
	}
	for _, s := range all {
		select {
		case <-s.Done():
			ended++
		case <-ctx.Done():
		}
	}
	return len(all), ended
}
