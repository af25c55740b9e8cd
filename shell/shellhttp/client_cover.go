package shellhttp

import (
	"context"
	"slices"
	"time"

	"shellagent/internal/alarm"
	"shellagent/shell"
)

const (
	// coverSize is the size of a covered request's token and body together, in
	// bytes. With the head it is some 740 on the wire, 185 KB/s at the shortest tick.
	coverSize = 496
	// coverData is how much of that may be typed; what is more waits for the next
	// tick. A token that the session key signs is longer than one under a MAC and
	// still fits.
	coverData = 96
	// coverPaste is how much typed input may wait: more is a paste, which nobody
	// takes for keys, and leaves as without cover.
	coverPaste = 1 << 10
	// maxCoverPosts are in flight at once, each on a connection of its own.
	maxCoverPosts = 5
	// coverTime is how long a covered request waits for its answer, which the
	// agent gives at once. Its data then goes into another.
	coverTime = 3 * time.Second
	// coverAmiss is how long nothing is sent under cover after a refusal.
	coverAmiss = time.Second
	// coverReview is after how many ticks the clock is set to the round trip anew.
	coverReview = 64
)

// cover sends a terminal's input so that an observer does not learn when keys are
// typed: requests of one size on a clock of their own, most of them without data
// (chaff). It takes the place of a stdinSender's workers; what it holds is under
// that one's lock.
type cover struct {
	q      *stdinSender
	alarm  *alarm.Alarm
	target string

	again    []*coveredPost // with data that was not taken, in order
	free     []*coveredPost // for use
	inFlight int
	bulk     int           // requests without cover
	trip     time.Duration // a round trip, 0 before the first
	lately   time.Duration // the shortest since trip was last set
	unknown  bool          // trip was 0 when last asked for; run's alone
	failures int           // since the last answer
	pause    time.Time     // nothing is sent until then, unless the session has a new connection
	pausedBy context.Context
	sizing   time.Time // since when the agent has not known a resize
}

// coveredPost is a request under cover.
type coveredPost struct {
	inputPost // without data: chaff
	ack       uint64
	padded    []byte // body
	token     string
	out       []byte // the request as it is written
	sent      time.Time
	ctx       context.Context
}

func (p *coveredPost) chaff() bool { return len(p.data) == 0 && !p.eof }

func newCover(q *stdinSender) *cover {
	return &cover{q: q, target: "/v1/sessions/" + q.s.key.session + "/stdin"}
}

// run sends bursts until there is no more input to send.
func (c *cover) run() {
	defer c.q.running.Done()
	c.alarm = alarm.New()
	defer c.alarm.Close()
	for c.awaitTyping() {
		c.burst()
	}
}

// awaitTyping waits until there is something to send, and returns false when
// there will be nothing.
func (c *cover) awaitTyping() bool {
	q := c.q
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.err == nil {
		until, by := c.pause, c.pausedBy
		if left := time.Until(until); left > 0 && by.Err() == nil {
			q.mu.Unlock()
			pause(by, left)
			q.mu.Lock()
			continue
		}
		if q.ready() || len(c.again) > 0 {
			return true
		}
		if q.eofTaken && len(q.posts) == 0 {
			return false
		}
		q.changed.Wait()
	}
	return false
}

// burst sends from the first key on until a while after the last one.
func (c *cover) burst() {
	clock := newCoverClock(time.Now(), tickFor(c.known()))
	for {
		at := clock.next(time.Now())
		c.alarm.Set(at.Add(-coverLead))
		if !c.alarm.Wait() {
			return
		}
		p, on := c.freeze(clock)
		if !on {
			return
		}
		if clock.count%coverReview == 0 || c.unknown {
			clock.pace(at, tickFor(c.known()))
		}
		if p == nil {
			continue
		}
		conn, err := c.prepare(p, clock.tick)
		if err != nil {
			c.settle(p, 0, err)
			continue
		}
		c.alarm.Set(at)
		c.alarm.Wait()
		c.send(p, conn)
	}
}

// freeze chooses what the next request carries: nothing, or what was not taken
// before, or what was typed. It returns no request when none can be sent now, and
// false when the burst is over.
func (c *cover) freeze(clock *coverClock) (p *coveredPost, on bool) {
	q, now := c.q, time.Now()
	ctx := q.s.posts.current()
	sizing := q.s.control.sizing()
	q.mu.Lock()
	defer q.mu.Unlock()
	if !sizing {
		c.sizing = time.Time{}
	} else if c.sizing.IsZero() {
		c.sizing = now
	}
	held := sizing && now.Sub(c.sizing) < q.s.client.times.size
	idle := !q.ready() && len(c.again) == 0
	switch {
	case q.err != nil, clock.over(now) && idle, now.Before(c.pause) && c.pausedBy == ctx:
		return nil, false
	case c.bulk == 0 && !held && q.waiting() > coverPaste:
		c.paste()
		clock.typed(now)
	}
	if c.inFlight >= maxCoverPosts || c.unknown && c.inFlight > 0 {
		return nil, true
	}
	c.inFlight++
	q.running.Add(1)
	switch {
	case held:
		p = c.fresh()
	case len(c.again) > 0:
		p, c.again = c.again[0], c.again[1:]
	case q.ready() && c.bulk == 0:
		p = c.fresh()
		q.fill(&p.inputPost, coverData)
		clock.typed(now)
	default:
		p = c.fresh()
	}
	p.ctx = ctx
	return p, true
}

// known is the round trip as far as it is known: the shortest since it was last
// asked for. What is typed has no part in it.
func (c *cover) known() time.Duration {
	c.q.mu.Lock()
	defer c.q.mu.Unlock()
	if c.lately > 0 {
		c.trip, c.lately = c.lately, 0
	}
	c.unknown = c.trip == 0
	return c.trip
}

// fresh returns a request with nothing in it.
func (c *cover) fresh() *coveredPost {
	p := new(coveredPost)
	if n := len(c.free); n > 0 {
		p, c.free = c.free[n-1], c.free[:n-1]
	}
	p.offset, p.data, p.eof = c.q.next, nil, false
	return p
}

// paste sends what is no typing as it would be sent without cover.
func (c *cover) paste() {
	q, p := c.q, &inputPost{}
	q.fill(p, q.size)
	c.bulk++
	c.uncovered(p)
}

// uncovered delivers p in the ordinary way; c.bulk counts it.
func (c *cover) uncovered(p *inputPost) {
	c.q.running.Go(func() {
		c.q.carry(p)
		c.q.mu.Lock()
		defer c.q.mu.Unlock()
		c.bulk--
		c.q.changed.Broadcast()
	})
}

// prepare signs p and writes it down, with a connection that is there already, or
// nil.
func (c *cover) prepare(p *coveredPost, tick time.Duration) (*postConn, error) {
	s := c.q.s
	p.ack = s.control.current()
	p.padded = shell.AppendStdin(p.padded[:0], shell.Stdin{
		Offset: p.offset, Ack: p.ack, EOF: p.eof, Data: p.data,
		Cover: (tick + time.Millisecond - 1).Truncate(time.Millisecond),
	})
	if err := c.sign(p); err != nil {
		return nil, err
	}
	pool := s.client.posts
	x := exchange{method: "POST", body: p.padded, mediaType: typeStdin}
	p.out = append(appendPostHead(p.out[:0], pool.host, pool.base+c.target, p.token, x), p.padded...)
	return pool.takeIdle(), nil
}

// retry keeps p's data for a later tick; q.mu is held.
func (c *cover) retry(p *coveredPost) {
	i, _ := slices.BinarySearchFunc(c.again, p, func(a, b *coveredPost) int {
		if a.offset < b.offset {
			return -1
		}
		return 1
	})
	c.again = slices.Insert(c.again, i, p)
	c.q.changed.Broadcast()
}
