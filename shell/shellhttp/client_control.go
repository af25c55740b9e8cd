package shellhttp

import (
	"errors"
	"sync"
	"time"

	"shellagent/shell"
)

const (
	// ackEvery is how much output is acknowledged by a request of its own: half
	// of the agent's backlog.
	ackEvery = 2 << 20
	// ackDrawn is the same for a terminal, of which less may be on its way. While
	// more comes all the time it is said each ackPause, since each request takes
	// as long as a key does.
	ackDrawn = 128 << 10
	ackPause = 15 * time.Millisecond
	// maxSignals bounds the signals that wait to be sent.
	maxSignals = 16
	// redrawPause is what a program has to notice a size that is not to stay.
	redrawPause = 100 * time.Millisecond
)

// controlSender sends a session's control requests, one at a time and each
// until it is answered. What changes meanwhile goes into the next one.
type controlSender struct {
	s    *Session
	wake chan struct{} // holds one
	done chan struct{} // closed when it sends no more

	mu      sync.Mutex
	seq     uint64
	size    *shell.Winsize
	nudge   *shell.Winsize // a size that is sent before size, and does not stay
	nudged  time.Time      // when it was answered
	sized   chan struct{}  // closed when the agent knows of a resize; nil while it does
	signals []shell.SignalRequest
	final   *shell.ControlRequest // close or detach; nothing follows it
	away    *away                 // this program stops; nil while it goes on
	acked   uint64                // output has left this process up to here
	every   uint64                // ackEvery or ackDrawn
	pause   time.Duration         // 0 or ackPause
	said    time.Time             // when an acknowledgement was last sent
	pausing bool                  // one is due after the pause, for which run waits
	told    uint64                // and the agent knows up to here
	exit    uint64                // offset after the exit, 0 before there is one
	heard   time.Time             // when the agent last answered us
}

// away is a detach that is not the end.
type away struct {
	taken bool          // a request says so
	known chan struct{} // closed when the agent has it
}

// controlPost is a request and what it is for.
type controlPost struct {
	shell.ControlRequest
	final bool
	away  *away
}

func newControlSender(s *Session, terminal bool) *controlSender {
	c := &controlSender{s: s, wake: make(chan struct{}, 1), done: make(chan struct{}), heard: time.Now(), every: ackEvery}
	if terminal {
		c.every, c.pause = ackDrawn, ackPause
	}
	go c.run()
	return c
}

// change makes a change and lets the sender see it.
func (c *controlSender) change(f func()) {
	c.mu.Lock()
	f()
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *controlSender) resize(w shell.Winsize) {
	c.change(func() {
		if c.size = &w; c.sized == nil {
			c.sized = make(chan struct{})
		}
	})
}

// awaitSize waits until the agent knows of every resize, or for a second: what
// is typed into the window of another size is not to arrive before it.
func (c *controlSender) awaitSize() {
	c.mu.Lock()
	sized := c.sized
	c.mu.Unlock()
	if sized == nil {
		return
	}
	timer := time.NewTimer(c.s.client.times.size)
	defer timer.Stop()
	select {
	case <-sized:
	case <-timer.C:
	case <-c.s.ctx.Done():
	}
}

// sizing says whether the agent does not know of a resize yet.
func (c *controlSender) sizing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sized != nil
}

// redraw tells another size and then w: a program redraws when the size has
// changed.
func (c *controlSender) redraw(w shell.Winsize) {
	other := w
	if other.Rows--; w.Rows <= 1 {
		other.Rows = w.Rows + 1
	}
	c.change(func() { c.nudge, c.size = &other, &w })
}

func (c *controlSender) exitAt(end uint64) { c.change(func() { c.exit = end }) }

func (c *controlSender) signal(r shell.SignalRequest) (err error) {
	c.change(func() {
		if len(c.signals) >= maxSignals {
			err = errors.New("too many signals are waiting for the agent")
			return
		}
		c.signals = append(c.signals, r)
	})
	return err
}

func (c *controlSender) ack(end uint64) {
	c.mu.Lock()
	c.acked = max(c.acked, end)
	due, left := c.ackDue()
	wake := due && (left <= 0 || !c.pausing)
	c.pausing = due && left > 0
	c.mu.Unlock()
	if wake {
		c.change(func() {})
	}
}

// ackDue says whether an acknowledgement is to be sent, and in how long.
func (c *controlSender) ackDue() (due bool, left time.Duration) {
	switch unsaid := c.acked - c.told; {
	case c.exit > 0 && c.acked >= c.exit && c.told < c.exit, unsaid >= ackEvery:
		return true, 0
	case unsaid < c.every:
		return false, 0
	default:
		return true, c.pause - time.Since(c.said)
	}
}

// current is the acknowledgement to send along with input.
func (c *controlSender) current() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.acked
}

// answered notes that the agent took a request with this acknowledgement.
func (c *controlSender) answered(ack uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.told = max(c.told, ack)
	c.heard = time.Now()
}

// taken notes what a control request came to that the agent took.
func (c *controlSender) taken(r controlPost) {
	c.answered(r.Ack)
	if r.away != nil {
		close(r.away.known)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.Resize != nil && c.size == nil && c.sized != nil {
		close(c.sized)
		c.sized = nil
	}
}

// lastHeard is when the agent last answered a request.
func (c *controlSender) lastHeard() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.heard
}

// exitAcked returns what is closed when the agent knows that the exit has
// arrived, or when that will not be said.
func (c *controlSender) exitAcked() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.acked < c.exit {
		return closedChan
	}
	return c.done
}

var closedChan = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// last sends r after all that waits, and then nothing more. What it returns is
// closed when the agent has it or will not get it.
func (c *controlSender) last(r shell.ControlRequest) <-chan struct{} {
	c.change(func() { c.final = &r })
	return c.done
}

func (c *controlSender) wait() { <-c.done }

// goAway says that this program stops. What it returns is closed when the agent
// has it.
func (c *controlSender) goAway() (known <-chan struct{}) {
	c.change(func() {
		if c.away == nil {
			c.away = &away{known: make(chan struct{})}
		}
		known = c.away.known
	})
	return known
}

// comeBack undoes goAway, and says whether the agent had it.
func (c *controlSender) comeBack() (known bool) {
	c.change(func() {
		if c.away != nil {
			select {
			case <-c.away.known:
				known = true
			default:
			}
		}
		c.away = nil
	})
	return known
}
