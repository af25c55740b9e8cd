package process

import (
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// reaper buries orphans that the agent adopted and that ended, so that they do
// not stay as zombies. It runs while there are sessions, or orphans of theirs.
//
// It does not take the exit of a child that somebody waits for: it leaves alone
// the leaders of sessions, and everything that was not already dead a while ago.
// What is in the agent's own session is as a rule no orphan, so it lies longer.
type reaper struct {
	sub  *subreaper
	wake chan struct{} // a session is over
	quit chan struct{}

	mu     sync.Mutex
	done   chan struct{} // of the loop that runs; nil without one
	closed bool
}

// How long a dead child may lie before nobody seems to wait for it.
const (
	unburied    = time.Second
	unburiedOwn = time.Minute // in the agent's own session
)

func newReaper(s *subreaper) *reaper {
	return &reaper{sub: s, wake: make(chan struct{}, 1), quit: make(chan struct{})}
}

// run starts the loop unless it runs already.
func (r *reaper) run() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done != nil || r.closed {
		return
	}
	r.done = make(chan struct{})
	go r.loop(r.done)
}

func (r *reaper) stop() {
	r.mu.Lock()
	if !r.closed {
		close(r.quit)
	}
	r.closed = true
	done := r.done
	r.mu.Unlock()
	if done != nil {
		<-done
	}
}

func (r *reaper) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *reaper) loop(done chan struct{}) {
	defer close(done)
	died := make(chan os.Signal, 1)
	signal.Notify(died, syscall.SIGCHLD)
	defer signal.Stop(died)
	var dead map[processID]time.Time
	for {
		var needed bool
		if dead, needed = r.sweep(dead); !needed && r.retire() {
			return
		}
		var again <-chan time.Time
		if len(dead) > 0 {
			again = time.After(unburied)
		}
		select {
		case <-r.quit:
			return
		case <-again:
			continue
		case <-r.wake:
		case <-died:
		}
		// However many die and end, the processes are looked through once a second.
		select {
		case <-r.quit:
			return
		case <-time.After(unburied):
		}
	}
}

// retire ends the loop unless a session began meanwhile.
func (r *reaper) retire() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sub.mu.Lock()
	defer r.sub.mu.Unlock()
	if len(r.sub.trees) > 0 {
		return false
	}
	r.done = nil
	return true
}

// sweep buries the orphans that were dead at the last sweep already, unless
// that was just now, and returns those that are dead. needed says that there
// is or will be work.
func (r *reaper) sweep(before map[processID]time.Time) (dead map[processID]time.Time, needed bool) {
	s := r.sub
	s.mu.Lock()
	defer s.mu.Unlock()
	table, err := readProcessTable()
	if err != nil {
		return before, true
	}
	leaders := make(map[processID]bool)
	for _, d := range s.trees {
		leaders[d.leader] = true
	}
	for id := range s.exempt {
		if table[id.pid].id != id {
			delete(s.exempt, id)
		}
	}
	now, starting := time.Now(), s.starting()
	dead = make(map[processID]time.Time)
	needed = len(s.trees) > 0
	for _, c := range table {
		own := c.session == s.session
		if c.parent != s.pid || leaders[c.id] || own && !c.dead() {
			continue
		}
		needed = true
		limit := unburied
		if own {
			limit = unburiedOwn
		}
		since, seen := before[c.id]
		switch {
		case !c.dead():
		case seen && now.Sub(since) >= limit && !starting:
			bury(c.id.pid)
		case seen:
			dead[c.id] = since
		default:
			dead[c.id] = now
		}
	}
	return dead, needed
}
