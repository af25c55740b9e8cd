package shell

import (
	"context"
	"time"
)

const (
	// gatherTime is how long output of a terminal is gathered while there is
	// much of it: its kernel hands out at most 4 KiB at a time, and each piece
	// that is sent alone costs four processes a wake-up.
	gatherTime = time.Millisecond
	// gatherFrom is the size of a frame, in bytes, from which on the next one is
	// gathered. What a key is answered with is less, and never waits.
	gatherFrom = 1 << 10
	// answerTime is how long output is taken for the answer to input, such as a
	// screen that is drawn anew in several pieces, and never gathered.
	answerTime = 50 * time.Millisecond
	// gatherEnough is what need not be waited for, in bytes.
	gatherEnough = 32 << 10
)

// answers says that output may be what somebody has just typed for.
func (s *Session) answers() bool {
	typed := s.typed.Load()
	return typed > 0 && time.Since(s.started)-time.Duration(typed) < answerTime
}

// gatherer holds a stream of large frames back until they are larger. The first
// of them goes at once, those after it once a millisecond. Its zero value is
// ready.
type gatherer struct {
	until time.Time // when the next frame may go; zero when it need not wait
	timer *time.Timer
}

// gave notes that a frame with n bytes of output has gone.
func (g *gatherer) gave(n int) {
	if n < gatherFrom {
		g.until = time.Time{}
		return
	}
	g.until = time.Now().Add(gatherTime)
}

// hold waits until the next frame may go, until wake, or until ctx is done. It
// returns at once for a cursor that has enough to give.
func (g *gatherer) hold(ctx context.Context, c *Cursor) {
	if g.until.IsZero() || c.pending() >= gatherEnough {
		return
	}
	left := time.Until(g.until)
	g.until = time.Time{}
	if left <= 0 {
		return
	}
	if g.timer == nil {
		g.timer = time.NewTimer(left)
	} else {
		g.timer.Reset(left)
	}
	defer g.timer.Stop()
	select {
	case <-g.timer.C:
	case <-c.wake:
	case <-ctx.Done():
	}
}

// pending is how much is there to be read, in offsets.
func (c *Cursor) pending() uint64 {
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	return c.b.end - c.off
}
