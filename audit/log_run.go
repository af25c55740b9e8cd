package audit

import (
	"context"
	"math/rand/v2"
	"time"
)

// run is the writer. It ends when ctx is done.
func (l *Log) run(ctx context.Context) {
	defer close(l.ended)
	soon := time.NewTimer(time.Hour)
	soon.Stop()
	dirty := false
	for {
		looked := false
		select {
		case <-ctx.Done():
			return
		case <-l.wake:
		case <-soon.C:
			l.sync()
			dirty = false
			l.tidy()
			looked = true
		}
		for batch := l.next(); batch != nil; batch = l.next() {
			if !l.write(ctx, batch) {
				return
			}
			// To list the folder is not worth it for each event: what is written now
			// will be looked at with its sync.
			looked = true
			if !dirty {
				dirty = true
				soon.Reset(syncEvery)
			}
		}
		if !looked {
			l.tidy()
		}
	}
}

// write appends a batch, however long that takes, unless the log is suspended;
// false means that ctx is done.
func (l *Log) write(ctx context.Context, batch []*Event) bool {
	wait := retryFirst
	l.mu.Lock()
	pausing := l.pausing
	l.mu.Unlock()
	for {
		err := l.append(batch)
		l.setErr(err)
		if err == nil {
			l.wrote(len(batch))
			l.wakeSpool()
			return true
		}
		select {
		case <-time.After(wait/2 + rand.N(wait/2)):
		case <-pausing:
			l.putBack(batch)
			l.wrote(0)
			return true
		case <-ctx.Done():
			l.wrote(0)
			return false
		}
		wait = min(2*wait, retryMost)
		l.tidy() // which may make room
	}
}

// append writes a batch to the trail, which it opens if it must.
func (l *Log) append(batch []*Event) error {
	if err := checkRoom(l.cfg.Dir); err != nil {
		return err
	}
	l.mu.Lock()
	trail := l.held
	l.mu.Unlock()
	if trail == nil {
		var err error
		if trail, err = OpenTrail(l.cfg.Dir, l.cfg.Sealer, l.cfg.Options); err != nil {
			return err
		}
		l.mu.Lock()
		l.held = trail
		l.mu.Unlock()
	}
	return trail.Append(batch...)
}

func (l *Log) sync() {
	l.mu.Lock()
	trail := l.held
	l.writing = trail != nil
	l.mu.Unlock()
	if trail == nil {
		return
	}
	if err := trail.Sync(); err != nil {
		l.log.Error("the audit trail cannot be brought to the disk", "err", err)
	}
	l.wrote(0)
}

func (l *Log) wakeSpool() {
	l.mu.Lock()
	spool := l.spool
	l.mu.Unlock()
	if spool != nil {
		spool.Wake()
	}
}
