package shellhttp

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"shellagent/shell"
)

const (
	// maxQueue bounds input that waits to be sent, in bytes.
	maxQueue = 256 << 10
	// maxPost bounds the input of one request; minPost is where a slow path
	// stops shrinking them. They are sized to take less than a second.
	maxPost   = 256 << 10
	minPost   = 8 << 10
	firstPost = 64 << 10
	// maxBulkPosts are in flight at once without a terminal. A terminal's
	// input is small and quick: one is in flight, and what is typed meanwhile
	// goes into the next.
	maxBulkPosts = 4
	// stdinTries bounds how often the same input is sent while nothing is
	// answered: about ten seconds, and more while answers stay out.
	stdinTries = 9
)

// stdinSender brings input to the agent in order, each byte once: requests name
// the offset of their first byte, so that they may be sent again.
type stdinSender struct {
	s       *Session
	workers int
	running sync.WaitGroup

	mu       sync.Mutex
	changed  sync.Cond // anything below has changed
	queue    []byte    // in no request yet
	next     uint64    // offset of queue's first byte
	eof      bool      // nothing is written any more
	eofTaken bool      // and a request says so
	err      error     // why nothing more is sent
	held     uint64    // the agent holds input up to here
	posts    []*inputPost
	started  int // workers
	idle     int // of them, waiting for input
	size     int // of the next request's data
}

// inputPost is input on its way.
type inputPost struct {
	body   []byte // room for the header, then data
	offset uint64
	data   []byte // what the agent does not hold yet; in body
	eof    bool
}

func newStdinSender(s *Session, next uint64, terminal bool) *stdinSender {
	q := &stdinSender{s: s, workers: maxBulkPosts, next: next, held: next, size: firstPost}
	if terminal {
		q.workers = 1
	}
	q.changed.L = &q.mu
	return q
}

func (q *stdinSender) write(p []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := 0
	for len(p) > 0 {
		for q.err == nil && !q.eof && len(q.queue) >= maxQueue {
			q.changed.Wait()
		}
		if q.err != nil {
			return n, q.err
		}
		if q.eof {
			return n, errors.New("write after the end of input")
		}
		m := min(len(p), maxQueue-len(q.queue))
		q.queue = append(q.queue, p[:m]...)
		p, n = p[m:], n+m
		q.work()
	}
	return n, nil
}

func (q *stdinSender) closeWrite() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err != nil || q.eof {
		return q.err
	}
	q.eof = true
	q.work()
	return nil
}

// written is the offset after all that was written.
func (q *stdinSender) written() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.next + uint64(len(q.queue))
}

// work sees to it that somebody takes what was queued. q.mu is held.
func (q *stdinSender) work() {
	if q.idle == 0 && q.started < q.workers {
		q.started++
		q.running.Add(1)
		go q.run()
	}
	q.changed.Broadcast()
}

// fail stops everything; the first reason stays.
func (q *stdinSender) fail(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err == nil {
		q.err = err
	}
	q.changed.Broadcast()
}

// wait returns when all workers have ended, after fail.
func (q *stdinSender) wait() { q.running.Wait() }

// resumed notes what the agent said it expects.
func (q *stdinSender) resumed(next uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.held = max(q.held, next)
	q.changed.Broadcast()
}

func (q *stdinSender) run() {
	defer q.running.Done()
	p := &inputPost{}
	for q.take(p) {
		err := q.deliver(p)
		q.remove(p)
		switch {
		case err == nil:
		case verdict(err) == sessionOver:
			q.fail(ErrEnded)
		default:
			q.s.fail(fmt.Errorf("input cannot be delivered: %w", err))
		}
	}
}

// take fills p with the next input. It waits for some and returns false when
// there will be none.
func (q *stdinSender) take(p *inputPost) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.idle++
	for q.err == nil && len(q.queue) == 0 && (!q.eof || q.eofTaken) {
		if q.eofTaken {
			break
		}
		q.changed.Wait()
	}
	q.idle--
	if q.err != nil || len(q.queue) == 0 && q.eofTaken {
		return false
	}
	n := min(len(q.queue), q.size)
	p.offset, p.eof = q.next, q.eof && n == len(q.queue)
	p.body = shell.AppendStdin(p.body[:0], shell.Stdin{Data: q.queue[:n]})
	p.data = p.body[shell.StdinHeaderSize:]
	q.next += uint64(n)
	q.queue = q.queue[:copy(q.queue, q.queue[n:])]
	q.eofTaken = p.eof
	q.posts = append(q.posts, p)
	if len(q.queue) > 0 {
		q.work()
	}
	q.changed.Broadcast()
	return true
}

func (q *stdinSender) remove(p *inputPost) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, other := range q.posts {
		if other == p {
			q.posts = append(q.posts[:i], q.posts[i+1:]...)
			break
		}
	}
	q.changed.Broadcast()
}

// deliver sends p until the agent holds all of it.
func (q *stdinSender) deliver(p *inputPost) error {
	for try := 1; ; {
		began := time.Now()
		size := len(p.data)
		next, err := q.post(p)
		took := time.Since(began)
		switch outcome := verdict(err); outcome {
		case accepted:
			if q.advance(p, next) {
				q.pace(size, took)
				return nil
			}
			if len(p.data) < size {
				try = 1
				continue
			}
			if took > time.Second {
				continue // the program does not read; the agent waited for it
			}
		case outOfOrder:
			if err := q.awaitEarlier(p, err); err != nil {
				return err
			}
		case again:
		default:
			return err
		}
		if try++; try > stdinTries && err != nil {
			return err
		}
		if !pause(q.s.ctx, backoff(try-1)) {
			return ErrEnded
		}
	}
}

// post sends p once and returns the offset that the agent expects next.
func (q *stdinSender) post(p *inputPost) (uint64, error) {
	s := q.s
	ack := s.control.current()
	p.body = shell.AppendStdin(p.body[:0], shell.Stdin{Offset: p.offset, Ack: ack, EOF: p.eof, Data: p.data})
	p.data = p.body[shell.StdinHeaderSize:]
	text, err := s.client.ask(s.ctx, s.client.posts, exchange{
		method: http.MethodPost, target: "/v1/sessions/" + s.key.id + "/stdin",
		body: p.body, mediaType: typeStdin, sign: s.key.sign, timeout: postTime,
	})
	if err != nil {
		return 0, err
	}
	var answer struct {
		Next *uint64 `json:"next"`
	}
	if err := json.Unmarshal(text, &answer); err != nil || answer.Next == nil {
		return 0, fmt.Errorf("the agent's answer to input has no offset: %.60q", text)
	}
	s.control.answered(ack)
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
// requests bring.
func (q *stdinSender) awaitEarlier(p *inputPost, gap error) error {
	q.mu.Lock()
	defer q.mu.Unlock()
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

// pace sizes the next requests to take a quarter of a second to one second.
func (q *stdinSender) pace(n int, took time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case took > time.Second:
		q.size = max(minPost, n/2)
	case took < time.Second/4 && n >= q.size:
		q.size = min(maxPost, 2*q.size)
	}
}
