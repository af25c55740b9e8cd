package fanout

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// ErrOther is the cause of a context that ends because another target failed.
var ErrOther = errors.New("ended because another target failed")

// Plan says how many targets are done at once, and what is done with each.
type Plan struct {
	// Targets is how many there are; they are called by their index.
	Targets int
	// Parallel is how many are done at once, at least 1.
	Parallel int
	// FailFast ends all when one does not succeed.
	FailFast bool
	// Do does one target. It returns soon once ctx ends, whose cause says why.
	Do func(ctx context.Context, target int) Result
	// Done, unless nil, is told of each that ended, also of those that were not
	// begun. It may be called from several goroutines.
	Done func(target int, r Result)
	// Stop, once it is closed, has no more targets begun. nil never is.
	Stop <-chan struct{}
}

// Run does all targets, in their order as far as they are begun, and returns what
// became of each once nothing runs any more.
func (p *Plan) Run(ctx context.Context) []Result {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	results := make([]Result, p.Targets)
	var next atomic.Int64
	var running sync.WaitGroup
	for range min(p.Parallel, p.Targets) {
		running.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= p.Targets {
					return
				}
				results[i] = p.one(ctx, i)
				if p.FailFast && !results[i].OK() {
					cancel(ErrOther)
				}
			}
		})
	}
	running.Wait()
	return results
}

func (p *Plan) one(ctx context.Context, i int) Result {
	r := Result{Outcome: Skipped}
	if !p.stopped(ctx) {
		began := time.Now()
		r = p.Do(ctx, i)
		r.Took = time.Since(began)
	}
	if p.Done != nil {
		p.Done(i, r)
	}
	return r
}

func (p *Plan) stopped(ctx context.Context) bool {
	select {
	case <-p.Stop:
		return true
	case <-ctx.Done():
		return true
	default:
		return false
	}
}
