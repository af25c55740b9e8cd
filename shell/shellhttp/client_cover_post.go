package shellhttp

import (
	"context"
	"errors"
	"time"

	"shellagent/jwtauth"
)

// sign makes p's token, which decides how much padding its body gets.
func (c *cover) sign(p *coveredPost) (err error) {
	r := jwtauth.Request{Method: "POST", Target: c.target, Body: p.padded}
	p.token, p.padded, err = c.q.s.key.signSized(p.ctx, r, coverSize)
	return err
}

// send writes p at once where there is a connection, and leaves the answer, and
// the making of a connection, to a goroutine: for chaff and keys alike.
func (c *cover) send(p *coveredPost, conn *postConn) {
	if conn == nil {
		go c.sendAnew(p)
		return
	}
	p.sent = time.Now()
	conn.begin(coverTime)
	_, err := conn.conn.Write(p.out)
	go c.await(p, conn, err)
}

func (c *cover) sendAnew(p *coveredPost) {
	conn, err := c.q.s.client.posts.take(p.ctx, coverTime)
	if err != nil {
		c.settle(p, 0, err)
		return
	}
	p.sent = time.Now()
	conn.begin(coverTime)
	_, err = conn.conn.Write(p.out)
	c.await(p, conn, err)
}

// await reads the answer to p.
func (c *cover) await(p *coveredPost, conn *postConn, written error) {
	stop := context.AfterFunc(p.ctx, func() { conn.conn.Close() })
	a, keep, err := conn.conclude(written)
	pool := c.q.s.client.posts
	switch keep = stop() && keep; {
	case err == nil && keep:
		pool.put(conn)
	case errors.Is(err, errKept):
		pool.closeIdle() // they are likely dead too
		fallthrough
	default:
		conn.close()
	}
	var next uint64
	if err == nil {
		next, err = readNext(a)
	}
	c.settle(p, next, err)
}

// readNext reads the answer to input.
func readNext(a *answered) (uint64, error) {
	if a.StatusCode/100 != 2 {
		return 0, parseProblem(a.StatusCode, a.Header, a.text)
	}
	return nextOf(a.text)
}

// settle notes what p came to: the next offset, or why there is none.
func (c *cover) settle(p *coveredPost, next uint64, err error) {
	q := c.q
	defer q.running.Done()
	if err != nil {
		c.amiss(p, err)
		return
	}
	q.s.control.answered(p.ack)
	taken := p.chaff() || q.advance(&p.inputPost, next)
	if taken && !p.chaff() {
		q.remove(&p.inputPost)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	c.inFlight--
	c.failures = 0
	took := time.Since(p.sent)
	if c.lately == 0 || took < c.lately {
		c.lately = took
	}
	if !taken {
		c.retry(p)
	} else if len(c.free) < maxCoverPosts {
		c.free = append(c.free, p)
	}
}

// amiss handles a request that was not taken. What a broken connection had goes
// into a later request under cover; what the agent refused is sent without,
// which knows what to do about any refusal.
func (c *cover) amiss(p *coveredPost, err error) {
	q, s := c.q, c.q.s
	if cause := context.Cause(p.ctx); cause != nil {
		err = cause
	}
	var refusal *Problem
	refused := errors.As(err, &refusal)
	if refused && refusal.disbelieved() && s.key.retract(p.token) {
		err = nil // the next token is of another kind
	}
	q.mu.Lock()
	c.inFlight--
	c.pausedBy = p.ctx
	switch {
	case refused:
		c.pause = time.Now().Add(coverAmiss)
	case errors.Is(err, errRenewed):
	default:
		if c.failures++; c.failures > 1 {
			c.pause = time.Now().Add(backoff(c.failures - 1))
		}
	}
	lost := !refused && c.failures >= stdinTries && !s.patient()
	data := !p.chaff()
	switch {
	case data && refused:
		c.bulk++
		c.uncovered(&p.inputPost)
	case data:
		c.retry(p)
	}
	q.mu.Unlock()
	if lost || err != nil && (verdict(err) == sessionOver || !data && verdict(err) == sessionFailed) {
		q.refused(err)
	}
}
