package audit

import (
	"context"
	"errors"
	"slices"
	"time"
)

// Suspend leaves the trail to another image of the agent, until [Log.Resume].
// What could not be written before ctx is done, because the disk is full, is
// returned for that image to write; what is told from now on waits. The error is
// that the disk does not answer; the log goes on then.
func (l *Log) Suspend(ctx context.Context) (waiting []*Event, err error) {
	flushing, cancel := context.WithTimeout(ctx, flushLimit)
	defer cancel()
	_ = l.Flush(flushing) // what is left is returned
	defer l.wakeAfter(ctx)()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.paused = true
	close(l.pausing)
	for l.writing && ctx.Err() == nil {
		l.idle.Wait()
	}
	if l.writing {
		l.resume()
		return nil, errors.Join(errors.New("audit trail: a write does not end"), ctx.Err())
	}
	if l.lost > 0 {
		l.queue, l.lost = append(l.queue, lostEvent(l.lost)), 0
	}
	_ = l.closeTrail() // what was appended is written
	return slices.Clone(l.queue), nil
}

// flushLimit is how long Suspend tries to write; nobody is served meanwhile.
// endLimit is how long the writer has to end where it is.
const (
	flushLimit = 500 * time.Millisecond
	endLimit   = 500 * time.Millisecond
)

func lostEvent(n uint64) *Event {
	return &Event{Kind: TrailLost, Count: n, Reason: "queue", Error: "the trail could not be written in time"}
}

// resume is Resume with mu held.
func (l *Log) resume() {
	if l.paused {
		l.paused, l.pausing = false, make(chan struct{})
	}
}

// Restore has events written, before all others, that another image of the agent
// could not write.
func (l *Log) Restore(waiting []*Event) {
	if len(waiting) > 0 {
		l.putBack(waiting)
		l.nudge()
	}
}

// putBack has a batch written later.
func (l *Log) putBack(batch []*Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue = append(batch, l.queue...)
	for _, e := range batch {
		l.size += len(e.Line)
	}
	l.idle.Broadcast()
}

// Resume goes on after [Log.Suspend].
func (l *Log) Resume() {
	l.mu.Lock()
	l.resume()
	l.mu.Unlock()
	l.nudge()
}
