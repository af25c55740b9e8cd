package broker

import (
	"time"

	"shellagent/jwtauth"
	"shellagent/shell"
)

// leavers are the session keys of sessions that are over and forgotten. A
// client learns of the end of its program while it still sends: what it has on
// its way then is late, and no attempt at a session that never was. Its zero
// value is empty.
type leavers struct {
	keys  map[string]leaver
	order []string // by thumbprint, oldest first
}

type leaver struct {
	key jwtauth.PublicKey
	mac *jwtauth.MAC
	at  time.Time
}

const (
	// leaverTime is longer than a request is tried for.
	leaverTime = 30 * time.Second
	maxLeavers = 1024
)

// add remembers a key for [leaverTime], and the last [maxLeavers] at most.
func (l *leavers) add(kid string, c *client, now time.Time) {
	for len(l.order) > 0 && (len(l.order) >= maxLeavers || now.Sub(l.keys[l.order[0]].at) >= leaverTime) {
		delete(l.keys, l.order[0])
		l.order = l.order[1:]
	}
	if l.keys == nil {
		l.keys = make(map[string]leaver)
	}
	if _, there := l.keys[kid]; !there {
		l.order = append(l.order, kid)
	}
	l.keys[kid] = leaver{c.key, c.mac, now}
}

// leaver returns the key of a session that was forgotten a moment ago.
func (b *Broker) leaver(kid string) (leaver, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l, ok := b.leavers.keys[kid]
	return l, ok && b.now().Sub(l.at) < leaverTime
}

// tooLate answers a request whose token is good and whose session is no more.
func (b *Broker) tooLate(who *caller) error {
	if err := b.guard.Fresh(who.token); err != nil {
		return err
	}
	return shell.Deny(shell.ReasonSessionEnded, nil)
}
