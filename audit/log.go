package audit

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"shellagent/shell"
)

// LogConfig is what a [Log] is made of. Dir and Sealer are required.
type LogConfig struct {
	// Dir is the trail's folder.
	Dir     string
	Sealer  Sealer
	Options Options
	// Version of the agent, for every event that concerns the agent itself.
	Version string
	// Keep is how the files are kept; see [Log.SetKeeping].
	Keep Keeping
	// Log may be nil, which discards.
	Log *slog.Logger
}

// Log writes facts to a trail: it implements the broker's Observer, and never
// blocks whoever tells a fact. What it is told waits in memory until it is
// written; while the trail cannot be written, at most [maxQueue] facts wait, and
// what comes on top is counted and told by trail.lost once it can be.
type Log struct {
	cfg LogConfig
	log *slog.Logger

	wake   chan struct{} // has one while something waits
	ended  chan struct{}
	cancel context.CancelFunc

	mu       sync.Mutex
	queue    []*Event
	size     int    // of what is queued, in bytes, as far as lines go
	lost     uint64 // not told yet
	held     *Trail // by Suspend, or nil
	paused   bool
	pausing  chan struct{} // closed while paused
	idle     sync.Cond     // queue, writing or paused has changed
	writing  bool
	spool    Spool
	keep     Keeping
	state    State
	overfull bool
}

// maxQueue bounds the facts that wait to be written, maxBatch those that are
// written at once.
const (
	maxQueue = 16 << 10
	maxBatch = 256
	// maxQueuedLines bounds the lines of output that wait, in bytes.
	maxQueuedLines = 4 << 20
)

// How often a write that failed is tried again, and how soon what was written is
// on the disk.
const (
	retryFirst = 100 * time.Millisecond
	retryMost  = 10 * time.Second
	syncEvery  = time.Second
)

// State is how a log is.
type State struct {
	// Written and Lost count events, Failures the writes that failed.
	Written, Lost, Failures uint64
	// Waiting are told and not written.
	Waiting int
	// Err is why nothing can be written at the moment; nil when it can.
	Err error
}

// NewLog starts a log. The trail is opened by its writer, so that a disk that is
// full keeps nobody from starting the agent.
func NewLog(cfg LogConfig) *Log {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithCancel(context.Background())
	l := &Log{
		cfg: cfg, log: cfg.Log, keep: cfg.Keep.withDefaults(), wake: make(chan struct{}, 1), ended: make(chan struct{}), cancel: cancel,
		pausing: make(chan struct{}),
	}
	l.idle.L = &l.mu
	go l.run(ctx)
	return l
}

// Observe implements the broker's Observer.
func (l *Log) Observe(e shell.Event) {
	if e.Kind == shell.EventOutput || e.Kind == shell.EventStdin {
		return
	}
	facts := factsOf(&e)
	for _, f := range facts {
		switch f.Kind {
		case AgentStarted, AgentStopped, AgentUpgraded:
			f.Agent = l.cfg.Version
		}
	}
	l.Add(facts...)
}

// Add has events written that are of no session's making. The events are the
// log's from then on.
func (l *Log) Add(events ...*Event) {
	if len(events) == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.put(events)
}

// wakeAfter has those who wait for idle look again once ctx is done.
func (l *Log) wakeAfter(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.idle.Broadcast()
	})
}

// Put is Add for lines of output, of which there may be more than can be written:
// it waits until there is room for them, or ctx is done.
func (l *Log) Put(ctx context.Context, events ...*Event) error {
	defer l.wakeAfter(ctx)()
	l.mu.Lock()
	defer l.mu.Unlock()
	for (len(l.queue)+len(events) > maxQueue || l.size > maxQueuedLines) && len(l.queue) > 0 && ctx.Err() == nil {
		l.idle.Wait()
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	l.put(events)
	return nil
}

// put queues events, as many as there is room for. mu is held.
func (l *Log) put(events []*Event) {
	now := time.Now()
	for _, e := range events {
		if e.Time.IsZero() {
			e.Time = now // of the fact, not of the writing
		}
	}
	room := max(maxQueue-len(l.queue), 0)
	taken := min(room, len(events))
	l.queue = append(l.queue, events[:taken]...)
	for _, e := range events[:taken] {
		l.size += len(e.Line)
	}
	l.lost += uint64(len(events) - taken)
	l.state.Lost += uint64(len(events) - taken)
	l.nudge()
}

func (l *Log) nudge() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// State returns how the log is.
func (l *Log) State() State {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.state
	s.Waiting = len(l.queue)
	return s
}

// next takes what is to be written, in one batch; none when nothing waits or
// the log is suspended.
func (l *Log) next() []*Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.paused || len(l.queue) == 0 && l.lost == 0 {
		return nil
	}
	n := min(len(l.queue), maxBatch)
	batch := make([]*Event, 0, n+1)
	batch = append(batch, l.queue[:n]...)
	for _, e := range batch {
		l.size -= len(e.Line)
	}
	if l.queue = l.queue[n:]; len(l.queue) == 0 {
		l.queue = nil
		if l.lost > 0 { // what was lost came after all that waited
			batch = append(batch, lostEvent(l.lost))
			l.lost = 0
		}
	}
	l.writing = true
	return batch
}

// wrote says what became of a batch.
func (l *Log) wrote(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state.Written += uint64(n)
	l.writing = false
	l.idle.Broadcast()
}

// setErr notes whether the trail can be written, and logs the change.
func (l *Log) setErr(err error) {
	l.mu.Lock()
	before := l.state.Err
	l.state.Err = err
	if err != nil {
		l.state.Failures++
	}
	l.mu.Unlock()
	switch {
	case err != nil && before == nil:
		l.log.Error("the audit trail cannot be written: events wait in memory, and the writing is tried again", "dir", l.cfg.Dir, "err", err)
	case err == nil && before != nil:
		l.log.Info("the audit trail is written again", "dir", l.cfg.Dir)
	}
}

// Flush waits until everything that was told is written, or ctx is done.
func (l *Log) Flush(ctx context.Context) error {
	defer l.wakeAfter(ctx)()
	l.mu.Lock()
	defer l.mu.Unlock()
	for (len(l.queue) > 0 || l.lost > 0 || l.writing) && ctx.Err() == nil {
		l.idle.Wait()
	}
	if n := len(l.queue); n > 0 || l.writing {
		return errors.Join(errors.New("audit trail: not all events could be written"), l.state.Err, ctx.Err())
	}
	return nil
}

// Close writes what was told, as far as ctx allows, and ends the log. What is
// told afterwards is not written. A write that hangs on its disk is left behind
// half a second after ctx is done, with the trail open.
func (l *Log) Close(ctx context.Context) error {
	err := l.Flush(ctx)
	l.cancel()
	select {
	case <-l.ended:
	case <-ctx.Done():
		select {
		case <-l.ended:
		case <-time.After(endLimit):
			return errors.Join(err, errors.New("audit trail: a write does not end"))
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(err, l.closeTrail())
}

// closeTrail closes the trail if it is open. mu is held, and nobody writes.
func (l *Log) closeTrail() error {
	if l.held == nil {
		return nil
	}
	err := l.held.Close()
	l.held = nil
	return err
}
