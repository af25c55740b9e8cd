package sink

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"shellagent/audit"
)

// How often a delivery that failed is tried again, and how often its position is
// written down: what came after that is sent again when the agent was killed.
const (
	retryFirst   = 250 * time.Millisecond
	retryMost    = time.Minute
	persistEvery = time.Second
)

// delivery is one sink that runs.
type delivery struct {
	cfg    Config
	log    *slog.Logger
	dir    string // the trail's
	tell   func(...*audit.Event)
	sender sender // nil until it could be made
	tail   *audit.Tail
	first  time.Duration // before a second try
	wake   chan struct{}
	cancel context.CancelFunc
	ended  chan struct{}

	batch []audit.Entry
	saved time.Time
	safe  uint64 // the position that is written down
	dirty bool
	// syncTrail has the disk hold every line that was read.
	syncTrail func() error

	mu     sync.Mutex
	next   uint64 // line that is not taken yet
	file   string // where the reading is
	offset int64
	held   int64     // bytes of the batch
	oldest time.Time // of what waits; zero when nothing is known to
	taken  uint64
	lost   uint64
	failed uint64
	err    error
}

func (s *Set) start(c Config) *delivery {
	next, err := readPosition(s.dir, c.Name)
	if err != nil {
		s.log.Warn("a sink's position is not known: it gets what is kept again", "sink", c.Name, "err", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	d := &delivery{
		cfg: c, log: s.log.With("sink", c.Name), dir: s.dir, tell: s.tell, tail: audit.NewTail(s.dir, next),
		first: s.first, wake: make(chan struct{}, 1), cancel: cancel, ended: make(chan struct{}), next: next, safe: next,
	}
	d.syncTrail = d.tail.Sync
	go d.run(ctx)
	return d
}

func (d *delivery) nudge() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// stop ends the delivery where it is.
func (d *delivery) stop() {
	d.cancel()
	<-d.ended
}

func (d *delivery) run(ctx context.Context) {
	defer close(d.ended)
	defer func() {
		if err := d.persist(0); err != nil {
			d.log.Error("what the sink took is not on the disk: it is sent again by the next agent", "err", err)
		}
		if d.sender != nil {
			d.sender.close()
		}
	}()
	wait := d.first
	tick := time.NewTicker(persistEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		more, err := d.step(ctx)
		if unsafe := d.persist(persistEvery); err == nil {
			err = unsafe
		}
		d.note(err)
		var asked *waitError
		switch {
		case err != nil:
			pause := wait/2 + rand.N(wait/2)
			if errors.As(err, &asked) {
				pause = max(pause, asked.wait)
			}
			d.sleep(ctx, pause)
			wait = min(2*wait, retryMost)
		case more:
			wait = d.first
		default:
			wait = d.first
			select {
			case <-d.wake:
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	}
}

func (d *delivery) sleep(ctx context.Context, pause time.Duration) {
	select {
	case <-time.After(pause):
	case <-ctx.Done():
	}
}

// step delivers a part of what waits; more is false when nothing does.
func (d *delivery) step(ctx context.Context) (more bool, err error) {
	if len(d.batch) == 0 {
		if err := d.read(); err != nil {
			return false, err
		}
		if len(d.batch) == 0 {
			return false, nil
		}
	}
	// Not before: its files may have changed since the configuration was checked,
	// which makes a sink that fails, and not a reload.
	if d.sender == nil {
		to, err := d.cfg.newSender()
		if err != nil {
			return false, err
		}
		d.sender = to
	}
	out, err := d.sender.send(ctx, d.batch)
	d.took(out)
	return true, err
}

// read takes the next batch from the trail.
func (d *delivery) read() error {
	from := d.tail.Next()
	batch, missed, err := d.tail.Read(d.cfg.Batch, batchBytes)
	if len(batch) > 0 && batch[0].Number < from {
		d.log.Warn("the audit trail ends before what the sink has taken: it gets what is kept again", "line", from)
	}
	file, offset := d.tail.Place()
	var size int64
	for _, l := range batch {
		size += int64(len(l.Raw)) + 1
	}
	d.mu.Lock()
	d.file, d.offset, d.held = file, offset, size
	d.lost += missed
	if len(batch) > 0 {
		d.next, d.oldest = batch[0].Number, batch[0].Time
	} else if err == nil {
		d.next, d.oldest = d.tail.Next(), time.Time{}
	}
	d.mu.Unlock()
	d.batch = batch
	if missed > 0 {
		d.dirty = true
		d.log.Error("lines of the audit trail were removed before the sink took them", "lines", missed)
		d.tell(&audit.Event{Kind: audit.TrailLost, Sink: d.cfg.Name, Count: missed, Reason: "removed", Error: "lines were removed before the sink took them"})
	}
	return err
}

// took drops from the batch what needs not be sent again.
func (d *delivery) took(out outcome) {
	for _, r := range out.rejected {
		l := &d.batch[r.index]
		d.log.Error("the sink does not take a line of the audit trail", "line", l.Number, "event", l.Kind, "why", r.why)
		if l.Kind != audit.TrailLost { // or telling it would never end
			d.tell(&audit.Event{Kind: audit.TrailLost, Sink: d.cfg.Name, Session: l.Session, Count: 1, Reason: "rejected", Error: r.why})
		}
	}
	if out.done == 0 {
		return
	}
	rest := d.batch[out.done:]
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, l := range d.batch[:out.done] {
		d.held -= int64(len(l.Raw)) + 1
	}
	d.next = d.batch[out.done-1].Number + 1
	d.taken += uint64(out.done - len(out.rejected))
	d.lost += uint64(len(out.rejected))
	d.dirty = true
	d.oldest = time.Time{}
	if len(rest) > 0 {
		d.oldest = rest[0].Time
	} else {
		rest = nil
	}
	d.batch = rest
}

// note keeps the last error, and logs when the sink begins to fail and recovers.
func (d *delivery) note(err error) {
	d.mu.Lock()
	before := d.err
	d.err = err
	if err != nil {
		d.failed++
	}
	d.mu.Unlock()
	switch {
	case err != nil && before == nil && !errors.Is(err, context.Canceled):
		d.log.Warn("a sink of the audit trail fails: it is tried again until it takes what is kept for it", "err", err)
	case err == nil && before != nil:
		d.log.Info("the sink takes the audit trail again")
	}
}

// persist writes the position down unless that was done a moment ago, and once
// the disk holds what it counts as taken. An error is that what was taken may not
// be there any more, and is sent again.
func (d *delivery) persist(every time.Duration) error {
	if !d.dirty || time.Since(d.saved) < every {
		return nil
	}
	d.saved = time.Now() // a disk that fails is not asked all the time
	if to, ok := d.sender.(interface{ sync() error }); ok {
		if err := to.sync(); err != nil {
			d.again()
			return err
		}
	}
	d.mu.Lock()
	next := d.next
	d.mu.Unlock()
	err := d.syncTrail()
	if err == nil {
		err = writePosition(d.dir, d.cfg.Name, next)
	}
	if err != nil {
		d.log.Error("a sink's position cannot be written down: what it took may be sent again", "err", err)
		return nil
	}
	d.dirty, d.safe = false, next
	return nil
}

// again goes back to the position that was written down.
func (d *delivery) again() {
	d.tail, d.batch, d.dirty = audit.NewTail(d.dir, d.safe), nil, false
	d.syncTrail = d.tail.Sync
	d.mu.Lock()
	defer d.mu.Unlock()
	d.next, d.held, d.oldest = d.safe, 0, time.Time{}
}

// State is how a sink is.
type State struct {
	Name, Type string
	// Next is the number of the line that it has not taken yet.
	Next uint64
	// Backlog is what waits for it in bytes, Oldest since when; zero for nothing.
	Backlog int64
	Oldest  time.Time
	// Taken and Lost count lines, Failures tries.
	Taken, Lost, Failures uint64
	// Err is why the last try failed; nil when it did not.
	Err error
}

func (d *delivery) state() State {
	d.mu.Lock()
	defer d.mu.Unlock()
	return State{
		Name: d.cfg.Name, Type: d.cfg.Type, Next: d.next, Oldest: d.oldest, Taken: d.taken, Lost: d.lost, Failures: d.failed, Err: d.err,
		Backlog: d.held + audit.Backlog(d.dir, d.file, d.offset),
	}
}
