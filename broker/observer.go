package broker

import (
	"log/slog"
	"net/netip"

	"shellagent/shell"
)

// Observer is told every fact the agent counts or keeps. Observe is called on
// hot paths from many goroutines at once: it must not block and must not keep
// the event's address.
type Observer interface {
	Observe(shell.Event)
}

// Observers tells each of its members in turn. Its zero value tells nobody.
type Observers []Observer

// Observe implements [Observer].
func (o Observers) Observe(e shell.Event) {
	for _, each := range o {
		each.Observe(e)
	}
}

var _ Observer = Observers(nil)

// RefusedByFront counts and logs n refusals that the front made itself, before
// a request became a call. The front's word is only counted, never acted upon.
func (b *Broker) RefusedByFront(reason shell.Reason, remote netip.Addr, n uint64) {
	if reason != shell.ReasonUnavailable {
		b.penalties.Add(remote, n)
	}
	e := shell.Event{Kind: shell.EventRefused, Reason: reason, Remote: remote, Count: n}
	b.refusals.add(slog.LevelInfo, e, "remote", remote, "count", n, "by", "front")
	b.observe(e)
}
