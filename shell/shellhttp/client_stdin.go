package shellhttp

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"shellagent/shell"
)

const (
	// maxPost bounds the input of one request, and so what waits to be put into
	// one; minPost is where a slow path stops shrinking them. They are sized to
	// take less than a second. On a short way a request over nearPost is no
	// quicker than several, and takes more memory.
	maxPost   = shell.MaxStdinData
	nearPost  = 512 << 10
	minPost   = 8 << 10
	firstPost = 64 << 10
	// maxBulkPosts are in flight at once without a terminal where the way is long:
	// each is a round trip on its way, and as long unanswered. farPosts are until it
	// is known to hold more, nearPosts where the way is short. A terminal's input is
	// small and quick: one is in flight, and what is typed meanwhile goes into the
	// next.
	maxBulkPosts = 16
	farPosts     = 8
	nearPosts    = 4
	// farTrip is how long a request takes over a long way: so much that several
	// of the largest must be under way to fill it.
	farTrip = 20 * time.Millisecond
	// stdinTries bounds how often the same input is sent while nothing is
	// answered, unless the session is a [Lasting] one: about ten seconds, and
	// more while answers stay out.
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
	queue    []byte    // in no request yet, behind room for a request's header
	claimed  bool      // what is behind it is being written to, and it stays where it is
	next     uint64    // offset of queue's first byte
	eof      bool      // nothing is written any more
	eofTaken bool      // and a request says so
	err      error     // why nothing more is sent
	held     uint64    // the agent holds input up to here
	posts    []*inputPost
	started  int           // workers
	idle     int           // of them, waiting for input
	size     int           // of the next request's data
	trip     time.Duration // the shortest time that a request has to take, 0 when not known

	prompt  inputPost  // what writePrompt sends
	sending bool       // it is being written
	begun   *inputPost // it was written, and nobody waits for its answer yet

	cover *cover // in place of workers, where keys are hidden
}

// inputPost is input on its way.
type inputPost struct {
	body   []byte // room for the header, then data
	offset uint64
	data   []byte // what the agent does not hold yet; in body
	eof    bool
	begun  *begunPost // nil once it has to be sent
}

func newStdinSender(s *Session, next uint64, terminal bool, trip time.Duration) *stdinSender {
	q := &stdinSender{s: s, workers: nearPosts, next: next, held: next, size: firstPost, trip: trip}
	switch {
	case terminal:
		q.workers = 1
	case trip >= farTrip:
		q.workers = farPosts
	}
	q.changed.L = &q.mu
	if s.client.cfg.Cover && terminal && s.Info().Cover != "" {
		q.cover = newCover(q)
	}
	return q
}

func (q *stdinSender) write(p []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := 0
	for len(p) > 0 {
		if err := q.awaitRoom(); err != nil {
			return n, err
		}
		m := min(len(p), q.room()-q.waiting())
		if len(q.queue) == 0 {
			q.queue = append(q.queue, stdinHeader[:]...)
		}
		q.queue = append(q.queue, p[:m]...)
		p, n = p[m:], n+m
		q.work()
	}
	return n, nil
}

var errInputEnded = errors.New("write after the end of input")

// awaitRoom waits until more may be queued; q.mu is held.
func (q *stdinSender) awaitRoom() error {
	for q.err == nil && !q.eof && (q.claimed || q.waiting() >= q.room()) {
		q.changed.Wait()
	}
	if q.err == nil && q.eof {
		return errInputEnded
	}
	return q.err
}

// stdinHeader is the room for a request's header.
var stdinHeader [shell.StdinHeaderSize]byte

// waiting is how much input is in no request yet; room is how much may be.
func (q *stdinSender) waiting() int { return max(0, len(q.queue)-len(stdinHeader)) }
func (q *stdinSender) room() int    { return max(nearPost, q.size) }

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
	return q.next + uint64(q.waiting())
}

// flush waits until the agent holds all that was written, or for d.
func (q *stdinSender) flush(d time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	over := false
	timer := time.AfterFunc(d, func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		over = true
		q.changed.Broadcast()
	})
	defer timer.Stop()
	for !over && q.err == nil && q.held < q.next+uint64(q.waiting()) {
		q.changed.Wait()
	}
}

// work sees to it that somebody takes what was queued. q.mu is held.
func (q *stdinSender) work() {
	switch {
	case q.cover != nil && q.started == 0:
		q.started++
		q.running.Add(1)
		go q.cover.run()
	case q.cover == nil && q.idle == 0 && q.started < q.workers:
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
	own := &inputPost{}
	for p := q.take(own); p != nil; p = q.take(own) {
		q.carry(p)
	}
}

// carry delivers p, or says that no input can be.
func (q *stdinSender) carry(p *inputPost) {
	err := q.deliver(p)
	q.remove(p)
	if err != nil {
		q.refused(err)
	}
}

// refused ends input for a reason that is no request's alone.
func (q *stdinSender) refused(err error) {
	if verdict(err) == sessionOver {
		q.fail(ErrEnded)
		return
	}
	q.s.fail(fmt.Errorf("input cannot be delivered: %w", err))
}

// take fills p with the next input, or returns what was begun. It waits for some
// and returns nil when there will be none.
func (q *stdinSender) take(p *inputPost) *inputPost {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.idle++
	for q.err == nil && q.begun == nil && (q.sending || !q.ready() && !q.eofTaken) {
		q.changed.Wait()
	}
	q.idle--
	if p := q.begun; p != nil {
		q.begun = nil
		return p
	}
	if q.err != nil || !q.ready() {
		return nil
	}
	q.fill(p, q.size)
	return p
}

// fill makes what waits a request of at most limit bytes; q.mu is held.
func (q *stdinSender) fill(p *inputPost, limit int) {
	n := min(q.waiting(), limit)
	p.offset, p.eof = q.next, q.eof && n == q.waiting()
	if n == q.waiting() && !q.claimed {
		// The queue becomes the request, which is copied nowhere.
		p.body, q.queue = q.queue, p.body[:0]
	} else {
		p.body = append(p.body[:0], q.queue[:len(stdinHeader)+n]...)
		q.queue = append(q.queue[:len(stdinHeader)], q.queue[len(stdinHeader)+n:]...)
	}
	if n == 0 {
		p.body = append(p.body[:0], stdinHeader[:]...)
	}
	p.data = p.body[len(stdinHeader):]
	q.next += uint64(n)
	q.eofTaken = p.eof
	q.posts = append(q.posts, p)
	if q.waiting() > 0 {
		q.work()
	}
	q.changed.Broadcast()
}

// ready says that there is something to take.
func (q *stdinSender) ready() bool { return q.waiting() > 0 || q.eof && !q.eofTaken }

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
