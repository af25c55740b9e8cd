package shellhttp

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"shellagent/shell"
)

// deliver sends p until the agent holds all of it.
func (q *stdinSender) deliver(p *inputPost) error {
	for failures := 0; ; {
		size, began := len(p.data), time.Now()
		next, err := q.post(p)
		took := time.Since(began)
		switch verdict(err) {
		case accepted:
			if q.advance(p, next) {
				q.pace(size, took)
				return nil
			}
			failures = 0
			if len(p.data) == size && took < time.Second && !q.s.rest(time.Second/4) {
				return ErrEnded
			}
			continue
		case outOfOrder:
			if err := q.awaitEarlier(p, err); err != nil {
				return err
			}
		case again:
			if !q.s.rest(backoff(failures + 1)) {
				return ErrEnded
			}
		default:
			return err
		}
		if failures++; failures >= stdinTries && !q.s.patient() {
			return err
		}
	}
}

// post sends p once and returns the offset that the agent expects next.
func (q *stdinSender) post(p *inputPost) (uint64, error) {
	s := q.s
	if b := p.begun; b != nil {
		p.begun = nil
		return q.answer(b.ack, func() ([]byte, error) { return s.conclude(b, p.body) })
	}
	s.control.awaitSize()
	ack := s.control.current()
	in := shell.Stdin{Offset: p.offset, Ack: ack, EOF: p.eof, Data: p.data}
	if n := len(stdinHeader) + len(p.data); n < len(p.body) { // some of it was taken
		copy(p.body[len(stdinHeader):], p.data)
		p.body = p.body[:n]
		p.data = p.body[len(stdinHeader):]
	}
	shell.AppendStdinHeader(p.body[:0], in)
	return q.answer(ack, func() ([]byte, error) { return s.post("stdin", p.body, typeStdin, true) })
}

// answer reads the answer to a request that said ack.
func (q *stdinSender) answer(ack uint64, ask func() ([]byte, error)) (uint64, error) {
	text, err := ask()
	if err != nil {
		return 0, err
	}
	next, err := nextOf(text)
	if err != nil {
		return 0, err
	}
	q.s.control.answered(ack)
	return next, nil
}

// nextOf is the offset in an answer to input.
func nextOf(text []byte) (uint64, error) {
	var answer struct {
		Next *uint64 `json:"next"`
	}
	if err := json.Unmarshal(text, &answer); err != nil || answer.Next == nil {
		return 0, fmt.Errorf("the agent's answer to input has no offset: %.60q", text)
	}
	return *answer.Next, nil
}

// advance drops what the agent holds from p. It returns true when that is all.
func (q *stdinSender) advance(p *inputPost, next uint64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.held = max(q.held, next)
	q.changed.Broadcast()
	if next >= p.offset+uint64(len(p.data)) {
		return true
	}
	if next > p.offset {
		p.data = p.data[next-p.offset:]
		p.offset = next
	}
	return false
}

// awaitEarlier waits until the agent holds what comes before p, which other
// requests bring. The refusal may say how far that is.
func (q *stdinSender) awaitEarlier(p *inputPost, gap error) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	var refusal *Problem
	if errors.As(gap, &refusal) && refusal.Next != nil && *refusal.Next > q.held {
		q.held = *refusal.Next
		q.changed.Broadcast()
	}
	for q.err == nil && q.held < p.offset {
		if !q.earlier(p) {
			return fmt.Errorf("the agent lost input before offset %d: %w", p.offset, gap)
		}
		q.changed.Wait()
	}
	return q.err
}

func (q *stdinSender) earlier(p *inputPost) bool {
	for _, other := range q.posts {
		if other.offset < p.offset {
			return true
		}
	}
	return false
}

// pace sizes the next requests to take a quarter of a second to one second, and
// has more of them under way where that takes long because the way is.
func (q *stdinSender) pace(n int, took time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch spent := took - slowStart*q.trip; {
	case spent > time.Second:
		q.size = max(minPost, n/2)
	case n < q.size || spent >= time.Second/4:
	case q.workers == 1:
		q.size = min(maxPost, 2*q.size)
	case took < farTrip:
		q.size = min(max(nearPost, q.size), 2*q.size)
	default:
		q.size = min(maxPost, 4*q.size)
		q.workers = maxBulkPosts
	}
}

// slowStart is how many round trips a request may take however much the way could
// hold: two for a connection, and TCP begins with little under way.
const slowStart = 7
