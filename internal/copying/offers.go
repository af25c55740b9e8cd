package copying

import (
	"context"
	"sync"
)

// The files that are offered and not dealt with are at most maxOffers, and at most
// what either side has room for: each may hold a directory open here, and a
// directory and a file on the other side. Of a side that is not known that is
// fewOffers.
const (
	maxOffers = 512
	fewOffers = 128
)

// offersFor is how many offers a process takes that may have so many files open.
func offersFor(files uint64) int { return int(min(maxOffers, max(8, files/4))) }

// offered is a file that the other side may want.
type offered struct {
	dir   *directory
	name  string
	path  string // unless "", a link that is followed
	m     meta
	times int // how often it was wanted

	moved, resumed int64 // bytes of content that were counted
}

func (f *offered) shown() string { return join(f.dir.path, f.name) }

// offers are the files whose answers are awaited.
type offers struct {
	room chan struct{}

	mu   sync.Mutex
	open map[uint64]*offered
}

func newOffers(n int) *offers {
	return &offers{room: make(chan struct{}, n), open: make(map[uint64]*offered)}
}

func (o *offers) tryAdd(id uint64, f *offered) bool {
	select {
	case o.room <- struct{}{}:
	default:
		return false
	}
	o.enter(id, f)
	return true
}

func (o *offers) add(ctx context.Context, id uint64, f *offered) error {
	select {
	case o.room <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	o.enter(id, f)
	return nil
}

func (o *offers) enter(id uint64, f *offered) {
	f.dir.retain()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.open[id] = f
}

func (o *offers) get(id uint64) *offered {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.open[id]
}

// close forgets a file, and says whether that was the last one; known is false
// for one that is not open.
func (o *offers) close(id uint64) (f *offered, last bool) {
	o.mu.Lock()
	f = o.open[id]
	delete(o.open, id)
	last = len(o.open) == 0
	o.mu.Unlock()
	if f != nil {
		f.dir.release()
		<-o.room
	}
	return f, last
}

func (o *offers) none() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.open) == 0
}

// closeAll lets go of what is left when a copy ends early.
func (o *offers) closeAll() {
	o.mu.Lock()
	ids := make([]uint64, 0, len(o.open))
	for id := range o.open {
		ids = append(ids, id)
	}
	o.mu.Unlock()
	for _, id := range ids {
		o.close(id)
	}
}
