package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"shellagent/record"
	"shellagent/shell"
	"shellagent/sources"
)

const (
	// sweepEvery is how soon a recording goes that is kept no longer.
	sweepEvery = 10 * time.Minute
	// sweepAgain is how soon the next ones go when there are many.
	sweepAgain = 10 * time.Second
)

// keep has recordings kept as a policy says, from now on.
func (r *recordings) keep(limits []sources.Keep) {
	r.mu.Lock()
	r.keeping = limits
	r.mu.Unlock()
	select {
	case r.look <- struct{}{}:
	default:
	}
}

// tidy removes recordings that are kept no longer, until ctx ends.
func (r *recordings) tidy(ctx context.Context) {
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		select {
		case <-next.C:
		case <-r.look:
		case <-ctx.Done():
			return
		}
		if r.sweepAll(ctx) {
			next.Reset(sweepAgain)
		} else {
			next.Reset(sweepEvery)
		}
	}
}

// sweepAll says whether there is more to do.
func (r *recordings) sweepAll(ctx context.Context) (more bool) {
	select {
	case r.disk <- struct{}{}: // not while an upgrade is under way
		defer func() { <-r.disk }()
	case <-ctx.Done():
		return false
	}
	r.mu.Lock()
	keeping := r.keeping
	r.mu.Unlock()
	for _, one := range keeping {
		k := record.Keeping{Dir: cmp.Or(one.Dir, r.dir), Source: one.Source, Age: one.Age, Bytes: one.Bytes}
		again, err := k.Sweep(ctx, time.Now(), r.isLive, func(f record.Stored, why string) { r.removed(one.Source, f, why) })
		if err != nil && ctx.Err() == nil {
			r.log.Error("recordings that are kept no longer cannot be removed", "source", one.Source, "dir", k.Dir, "err", err)
		}
		more = more || again
	}
	return more
}

func (r *recordings) isLive(session string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.live[session] != nil
}

func (r *recordings) removed(source string, f record.Stored, why string) {
	r.log.Info("a recording is removed", "session", f.Session, "source", source, "file", f.Path, "bytes", f.Bytes, "why", why)
	r.observe(shell.Event{
		Kind: shell.EventRecordingRemoved, Time: time.Now(), Session: f.Session, Source: source,
		Detail: &shell.Detail{Recording: f.Path, Why: why},
	})
}

// rest keeps everything but the live recordings from the disk, for an upgrade: a
// process that waits for a disk cannot become another one.
func (r *recordings) rest(ctx context.Context) error {
	if r.late.Load() > 0 {
		return errors.New("a recording cannot be begun: its disk does not answer")
	}
	select {
	case r.disk <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("old recordings are being removed: %w", ctx.Err())
	}
}
