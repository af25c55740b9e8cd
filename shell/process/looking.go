package process

import (
	"context"
	"fmt"
	"sync"
)

// A look at a file may hang for as long as its file server does not answer, and
// its thread with it, whatever has become of who asked. So one user's looks are
// bounded, for the others to go on, and all of them, for the agent to.
const (
	maxLooks     = 256
	maxUserLooks = 16
)

// looks counts what is being looked at. The zero value has room.
type looks struct {
	mu      sync.Mutex
	all     int
	users   map[uint32]int
	changed chan struct{} // closed when something ended; nil when nobody waits
}

var looking looks

// begin waits for room for one more look of a user, until ctx is done. What it
// began ends with end.
func (l *looks) begin(ctx context.Context, uid uint32) error {
	for {
		l.mu.Lock()
		if l.all < maxLooks && l.users[uid] < maxUserLooks {
			if l.users == nil {
				l.users = make(map[uint32]int)
			}
			l.all++
			l.users[uid]++
			l.mu.Unlock()
			return nil
		}
		all, own := l.all, l.users[uid]
		if l.changed == nil {
			l.changed = make(chan struct{})
		}
		changed := l.changed
		l.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%d looks at files have not ended, %d of them this user's: a file server does not answer (%w)", all, own, ctx.Err())
		}
	}
}

func (l *looks) end(uid uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all--
	if l.users[uid]--; l.users[uid] == 0 {
		delete(l.users, uid)
	}
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}
