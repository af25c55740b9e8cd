package broker

import (
	"context"
	"errors"
	"fmt"

	"shellagent/jwtauth"
	"shellagent/shell"
	"shellagent/sources"
)

// vouchedKey is a key that no list may have, and how many live sessions a verify
// command let it open. While there is one, the key can prove that it is back.
type vouchedKey struct {
	key   jwtauth.PublicKey
	lives int
}

// remember keeps the key of a session that a verify command let in. b.mu is held.
func (b *Broker) remember(l *live) {
	if l.request.Vouched == nil {
		return
	}
	kid := l.request.Key.Thumbprint()
	v := b.vouchedKeys[kid]
	b.vouchedKeys[kid] = vouchedKey{l.request.Key, v.lives + 1}
}

// unremember is remember's inverse. b.mu is held.
func (b *Broker) unremember(l *live) {
	if l.request.Vouched == nil {
		return
	}
	kid := l.request.Key.Thumbprint()
	if v := b.vouchedKeys[kid]; v.lives > 1 {
		b.vouchedKeys[kid] = vouchedKey{v.key, v.lives - 1}
	} else {
		delete(b.vouchedKeys, kid)
	}
}

// identityKey finds the key that an identity token names: one that a list has,
// or one of a live session. What it may do is policy's to say.
func (b *Broker) identityKey(p *sources.Policy, kid string) (jwtauth.PublicKey, bool) {
	if key, ok := p.Key(kid); ok {
		return key, true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	v, ok := b.vouchedKeys[kid]
	return v.key, ok
}

// owned finds a session of the caller's own that policy lets them come back to.
// Somebody else's looks like none.
func (b *Broker) owned(ctx context.Context, call *shell.Call, who *caller, id string) (*live, error) {
	b.mu.Lock()
	l, ok := b.lives[id]
	b.mu.Unlock()
	if !ok {
		return nil, shell.Deny(shell.ReasonSessionUnknown, nil)
	}
	if l.session.Grant().Key != who.kid {
		return nil, shell.Deny(shell.ReasonSessionOwner, errors.New("the session was opened with another key"))
	}
	return l, b.comesBack(ctx, call, who, l)
}

// comesBack asks policy about a key that comes back to a session of its own:
// where it may come from and until when holds for that as well, and who was
// vouched for has to be still. A host that does not answer keeps nobody from
// their session; a verify command that does not answer has not vouched.
func (b *Broker) comesBack(ctx context.Context, call *shell.Call, who *caller, l *live) error {
	ask := l.request
	ask.Claims, ask.Remote, ask.Now = who.token.Claims.Map, call.Remote.Addr(), b.now()
	if ask.Vouched != nil && !who.policy.Lists(ask.Source, who.kid) {
		v, err := b.vouchAgain(ctx, call, who, ask.Source)
		if err != nil {
			return err
		}
		if was := l.session.Grant().Subject; v.Subject != was {
			return shell.Deny(shell.ReasonVerifyCommand, fmt.Errorf("the key stands for %q now, and the session is of %q", v.Subject, was))
		}
		ask.Vouched = v
	}
	_, err := who.policy.Decide(ctx, ask)
	if errors.Is(err, sources.ErrUndecided) {
		return nil
	}
	return err
}

// vouchAgain asks the verify commands of a source about the caller, once for a
// call. The caller's token has been verified and used up.
func (b *Broker) vouchAgain(ctx context.Context, call *shell.Call, who *caller, source string) (*sources.Voucher, error) {
	if said, ok := who.again[source]; ok {
		return said.voucher, said.err
	}
	if who.again == nil {
		who.again = make(map[string]vouchedAgain)
	}
	var said vouchedAgain
	if near := Neighbourhood(call.Remote.Addr()); b.askers.enter(near) {
		defer b.askers.leave(near)
		said.voucher, said.err = b.askCommands(ctx, call, who, source)
	} else {
		said.err = errAskers
	}
	who.again[source] = said
	return said.voucher, said.err
}

// vouchedAgain is what the verify commands of one source said.
type vouchedAgain struct {
	voucher *sources.Voucher
	err     error
}

// list answers with the caller's own sessions, those that they could attach to.
// A key that no list has, and that is vouched for no more, is refused like any
// that is unknown.
func (b *Broker) list(ctx context.Context, call *shell.Call, who *caller) (*shell.Reply, error) {
	var refused error
	found := b.sessions.List(func(s *shell.Session) bool {
		if s.Grant().Key != who.kid {
			return false
		}
		b.mu.Lock()
		l, ok := b.lives[s.ID()]
		b.mu.Unlock()
		if !ok {
			return false
		}
		err := b.comesBack(ctx, call, who, l)
		if err != nil {
			refused = err
		}
		return err == nil
	})
	if _, listed := who.policy.Key(who.kid); !listed && len(found) == 0 {
		if refused == nil {
			refused = shell.Deny(shell.ReasonUnknownKey, errors.New("its last session has just gone"))
		}
		return nil, refused
	}
	out := struct {
		Version  int                    `json:"version"`
		Sessions []shell.SessionSummary `json:"sessions"`
	}{Version: 1, Sessions: make([]shell.SessionSummary, 0, len(found))}
	for _, s := range found {
		out.Sessions = append(out.Sessions, s.Summary())
	}
	return answer(out)
}
