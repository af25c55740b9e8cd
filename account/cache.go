package account

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

const (
	keep        = 30 * time.Second
	keepUnknown = 5 * time.Second // an account that is being made is soon found
	maxAnswers  = 1024
)

// cache keeps answers. Its zero value is ready.
type cache struct {
	mu      sync.Mutex
	answers map[string]answer
	flights singleflight.Group
}

type answer struct {
	value any
	err   error
	until time.Time
	stamp stamp
}

// stamp tells one state of the databases' files from another. Tools replace
// these files by renaming, so the inode tells even what the clock's grain hides.
type stamp [4]struct {
	modified int64 // nanoseconds
	size     int64
	inode    uint64
}

func (d *Directory) stamp() stamp {
	var s stamp
	for i, path := range d.stamped() {
		if info, err := os.Stat(path); err == nil {
			s[i].modified, s[i].size, s[i].inode = info.ModTime().UnixNano(), info.Size(), inode(info)
		}
	}
	return s
}

// remember returns the answer to a question, asking at most once at a time and
// once per [keep]. Whoever waits may leave with its own ctx; the question goes
// on for the others.
func remember[T any](ctx context.Context, d *Directory, database, key string, ask func(context.Context) (T, error)) (T, error) {
	id := database + ":" + key
	now := d.stamp()
	if a, ok := d.cache.get(id, now, d.now()); ok {
		return as[T](a)
	}
	for again := true; ; again = false {
		flight := d.cache.flights.DoChan(id, func() (any, error) {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.timeout)
			defer cancel()
			value, err := ask(ctx)
			return d.keep(id, answer{value: value, err: err, stamp: now}), nil
		})
		select {
		case r := <-flight:
			// A question that was under way when the files changed may have
			// been answered from the old ones.
			if a := r.Val.(answer); a.stamp == now || !again {
				return as[T](a)
			}
		case <-ctx.Done():
			var zero T
			return zero, ctx.Err()
		}
	}
}

func (d *Directory) keep(id string, a answer) answer {
	switch {
	case a.err == nil:
		a.until = d.now().Add(keep)
	case errors.Is(a.err, ErrUnknown):
		a.until = d.now().Add(keepUnknown)
	default:
		return a // a failure says nothing of the next time
	}
	d.cache.put(id, a)
	return a
}

func as[T any](a answer) (T, error) {
	value, _ := a.value.(T)
	return value, a.err
}

func (c *cache) get(id string, s stamp, now time.Time) (answer, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a, ok := c.answers[id]
	if !ok || a.stamp != s || !now.Before(a.until) {
		return answer{}, false
	}
	return a, true
}

func (c *cache) put(id string, a answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.answers == nil || len(c.answers) >= maxAnswers {
		// Names come from configuration: so many are a mistake, not a load
		// worth a cleverer choice.
		c.answers = make(map[string]answer)
	}
	c.answers[id] = a
}
