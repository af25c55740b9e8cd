package broker

import (
	"context"
	"net/netip"

	"shellagent/shell"
)

// watch lets a session's owner look on at it from another terminal. Nobody
// else may: what a screen shows is as much as a shell. The token's session key
// proves the answer, and is good for nothing else.
func (b *Broker) watch(ctx context.Context, call *shell.Call, who *caller, r route) (*shell.Reply, error) {
	l, err := b.owned(ctx, call, who, r.name)
	if err != nil {
		return nil, err
	}
	look := l.session.Watch
	if r.resumes {
		look = func(remote netip.Addr) (*shell.Watcher, error) { return l.session.WatchFrom(remote, r.from) }
	}
	w, err := look(call.Remote.Addr())
	if err != nil {
		return nil, err
	}
	b.logger(l.session).Info("session watched", "remote", call.Remote)
	e := sessionFact(shell.EventWatched, l.session)
	e.Remote = call.Remote.Addr()
	b.observe(e)
	return b.streamReply(l.session, w, who, who.token.Claims.Session, "")
}
