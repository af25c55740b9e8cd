package shellhttp

import (
	"encoding/json"
	"time"
)

// run sends until the session is over.
func (c *controlSender) run() {
	defer close(c.done)
	timer := time.NewTimer(c.s.client.times.heartbeat)
	defer timer.Stop()
	for {
		r, due, wait := c.take()
		if due {
			if !c.deliver(r) {
				return
			}
			continue
		}
		timer.Reset(wait)
		select {
		case <-c.wake:
		case <-timer.C:
		case <-c.s.ctx.Done():
			return
		}
	}
}

// take returns the next request if one is due, or how long there is time.
func (c *controlSender) take() (r controlPost, due bool, wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	wait = c.s.client.times.heartbeat - time.Since(c.heard)
	size, hold := c.size, redrawPause-time.Since(c.nudged)
	switch {
	case c.nudge != nil:
		size = c.nudge
	case size != nil && hold > 0 && c.final == nil:
		size, wait = nil, min(wait, hold)
	}
	leaves := c.away != nil && !c.away.taken
	acks, left := c.ackDue()
	if acks && left > 0 {
		acks, wait = false, min(wait, left)
	}
	if size == nil && len(c.signals) == 0 && c.final == nil && !leaves && !acks && wait > 0 {
		return r, false, wait
	}
	if r.Resize = size; c.nudge != nil {
		c.nudge, c.nudged = nil, time.Now()
	} else if size != nil {
		c.size = nil
	}
	if len(c.signals) > 0 {
		r.Signal, c.signals = &c.signals[0], c.signals[1:]
	} else if c.final != nil {
		r.Close, r.Detach, r.final = c.final.Close, c.final.Detach, true
	} else if leaves {
		r.Detach, r.away, c.away.taken = true, c.away, true
	}
	c.seq++
	r.Seq, r.Ack = c.seq, c.acked
	c.said, c.pausing = time.Now(), false
	return r, true, 0
}

// deliver sends r until it is answered. It returns false when nothing more is
// to be sent.
func (c *controlSender) deliver(r controlPost) bool {
	s := c.s
	for try := 1; ; try++ {
		if r.away != nil && !c.isAway(r.away) {
			r.away, r.Detach = nil, false // it goes on already
		}
		body, err := json.Marshal(r.ControlRequest)
		if err != nil {
			s.fail(err)
			return false
		}
		// A signal waits for input; repeated, it would be taken for sent.
		_, err = s.post("control", body, typeJSON, r.Signal == nil)
		switch verdict(err) {
		case accepted:
			c.taken(r)
			return !r.final && !c.over(r.Ack)
		case refusedOnce:
			return !r.final // the next may be a good one
		case sessionOver:
			return false
		case sessionFailed:
			s.fail(err)
			return false
		}
		if !s.rest(backoff(try)) {
			return false
		}
	}
}

func (c *controlSender) isAway(a *away) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.away == a
}

// over says whether an acknowledgement included the exit: then the agent has
// forgotten the session.
func (c *controlSender) over(ack uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.exit > 0 && ack >= c.exit
}
