package broker

import (
	"net/netip"
	"sync"
	"time"

	"shellagent/shell"
)

// Penalties slow down addresses that keep sending requests which prove nothing.
// Each such request adds a point and every [pointLapses] takes one away. What
// is over a few free points holds the address's refusals back: twice as long
// for each point, up to [shell.MaxWait].
//
// Only refusals are held back. A request is verified before anybody looks at
// the points, so who holds a valid key is never slower for what others send
// from the same address, and live sessions do not come by here at all.
//
// An IPv6 /64 is one address. The table is bounded; when it is full the
// address with the fewest points, of a few, is forgotten.
type Penalties struct {
	now func() time.Time

	mu     sync.Mutex
	points map[netip.Prefix]points
}

// points are a number that falls with time.
type points struct {
	count float64
	at    time.Time
}

const (
	freePoints  = 10 // what somebody who tries their keys one after the other needs
	firstWait   = 125 * time.Millisecond
	mostPoints  = freePoints + 6 // firstWait doubled beyond shell.MaxWait
	pointLapses = 5 * time.Second
	// maxPenalties is how many addresses are remembered.
	maxPenalties = 8192
)

// NewPenalties returns an empty table. now may be nil, which means time.Now.
func NewPenalties(now func() time.Time) *Penalties {
	if now == nil {
		now = time.Now
	}
	return &Penalties{now: now, points: make(map[netip.Prefix]points)}
}

// Add counts n requests from an address that proved nothing, and returns how
// long the answer to the last of them is held back.
func (p *Penalties) Add(from netip.Addr, n uint64) time.Duration {
	key := Neighbourhood(from)
	now := p.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	had, known := p.points[key]
	if !known && len(p.points) >= maxPenalties {
		p.forgetOne(now)
	}
	count := min(had.left(now)+float64(min(n, mostPoints)), mostPoints)
	p.points[key] = points{count, now}
	if count <= freePoints {
		return 0
	}
	return min(firstWait<<int(count-freePoints), shell.MaxWait)
}

// left is what time has left of the points.
func (p points) left(now time.Time) float64 {
	return max(0, p.count-float64(now.Sub(p.at))/float64(pointLapses))
}

// sampled is how many addresses are looked at to find one to forget. A map is
// walked in random order.
const sampled = 16

func (p *Penalties) forgetOne(now time.Time) {
	var least netip.Prefix
	var fewest float64
	seen := 0
	for key, has := range p.points {
		left := has.left(now)
		if seen == 0 || left < fewest {
			least, fewest = key, left
		}
		if seen++; seen == sampled {
			break
		}
	}
	delete(p.points, least)
}
