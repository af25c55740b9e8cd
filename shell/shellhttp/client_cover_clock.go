package shellhttp

import (
	"math/rand/v2"
	"time"
)

const (
	// coverTick is the least time between two covered requests. Where the round
	// trip is longer than four of them, a quarter of that: more often would only
	// fill the way.
	coverTick = 4 * time.Millisecond
	// maxCoverTick bounds it for the slowest ways.
	maxCoverTick = 250 * time.Millisecond
	// coverLead is how long before its tick a request is frozen: what is typed
	// later goes into the next one, and cannot delay this one.
	coverLead = 250 * time.Microsecond
	// Cover goes on for this long after the last key, a random time between.
	minCoverTail = time.Second
	maxCoverTail = 3 * time.Second
)

// coverClock says when covered requests leave, from the first key of a burst to a
// while after the last one. Keys prolong it; none of them moves it.
type coverClock struct {
	start time.Time
	tick  time.Duration
	count int64 // ticks that are over
	tail  time.Duration
	until time.Time // the end, unless there are more keys
}

func newCoverClock(now time.Time, tick time.Duration) *coverClock {
	return &coverClock{
		start: now.Add(coverLead), tick: tick, count: -1,
		// One for all keys of the burst: the longest of many would be no secret.
		tail: minCoverTail + rand.N(maxCoverTail-minCoverTail),
	}
}

// next is the tick for which a request can still be frozen, and no earlier one
// will be asked for again: a clock that was held up leaves ticks out and does not
// make up for them.
func (c *coverClock) next(now time.Time) time.Time {
	if c.count++; c.count == 0 {
		return c.start // as soon as can be, however late that is
	}
	if late := now.Add(coverLead).Sub(c.start.Add(time.Duration(c.count) * c.tick)); late > 0 {
		c.count += int64((late + c.tick - 1) / c.tick)
	}
	return c.start.Add(time.Duration(c.count) * c.tick)
}

// pace goes on with another time between ticks after the one at the given moment.
func (c *coverClock) pace(at time.Time, tick time.Duration) {
	if tick != c.tick {
		c.start, c.tick, c.count = at, tick, 0
	}
}

// typed notes that a request took what was typed.
func (c *coverClock) typed(now time.Time) { c.until = now.Add(c.tail) }

// over says that the burst has ended.
func (c *coverClock) over(now time.Time) bool { return !now.Before(c.until) }

// tickFor is how often requests leave where one takes so long.
func tickFor(trip time.Duration) time.Duration {
	return min(max(coverTick, trip/4), maxCoverTick)
}
