package process

import (
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// target is what an ending ends: a tree, or a part of one.
type target interface {
	signal(unix.Signal)
	kill()
	empty() bool
}

// ending ends processes: HUP and CONT, time to obey, then KILL until none is
// left. It runs once, in a goroutine of its own, and can be hastened.
type ending struct {
	target target
	after  func()        // called at its end
	done   chan struct{} // closed when nothing is left, or failed is set
	wake   chan struct{}
	failed bool // read after done: something could not be killed

	mu      sync.Mutex
	begun   bool
	told    bool
	adopted bool // begun by an earlier image of the agent, and not resumed
	again   bool // tell once more: who was forked while it was told may not know
	killAt  time.Time
}

// killLimit bounds how long the kernel may take to carry out KILL. A process
// in an uninterruptible wait (a dead file server) may outlive it.
const killLimit = 10 * time.Second

func newEnding(t target, after func()) *ending {
	return &ending{target: t, after: after, done: make(chan struct{}), wake: make(chan struct{}, 1)}
}

// begin starts the ending. When it was begun already it tells once more, and
// can bring KILL forward.
func (e *ending) begin(grace time.Duration) {
	at := time.Now().Add(max(grace, 0))
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.begun {
		e.begun, e.killAt = true, at
		go e.run()
		return
	}
	if at.Before(e.killAt) {
		e.killAt = at
	}
	e.again = true
	e.look()
}

// look makes an ending that is under way look again now.
func (e *ending) look() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

func (e *ending) isBegun() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.begun
}

// wait blocks until the ending is over; it returns at once if none was begun.
func (e *ending) wait() {
	if e.isBegun() {
		<-e.done
	}
}

func (e *ending) run() {
	defer close(e.done)
	defer e.after()
	if e.target.empty() {
		return
	}
	e.tellFirst()
	if e.obeyed() {
		return
	}
	limit := time.Now().Add(killLimit)
	for pause := firstPause; !e.target.empty(); pause = longer(pause) {
		if time.Now().After(limit) {
			e.failed = true
			return
		}
		e.target.kill()
		time.Sleep(pause)
	}
}

func (e *ending) tellFirst() {
	e.mu.Lock()
	told := e.told
	e.told = true
	e.mu.Unlock()
	if !told {
		e.tell()
	}
}

func (e *ending) tell() {
	e.target.signal(unix.SIGHUP)
	e.target.signal(unix.SIGCONT) // what is stopped cannot obey
}

// obeyed waits until nothing is left, or the time for that is over.
func (e *ending) obeyed() bool {
	for pause := firstPause; ; pause = longer(pause) {
		if e.target.empty() {
			return true
		}
		e.mu.Lock()
		left, again := time.Until(e.killAt), e.again
		e.again = false
		e.mu.Unlock()
		if left <= 0 {
			return false
		}
		if again {
			e.tell()
		}
		select {
		case <-e.wake:
		case <-time.After(min(pause, left)):
		}
	}
}

const firstPause = time.Millisecond

// longer spaces out the looks: most trees are gone within milliseconds, and
// those that are not are looked for in all of /proc.
func longer(pause time.Duration) time.Duration { return min(2*pause, 100*time.Millisecond) }
