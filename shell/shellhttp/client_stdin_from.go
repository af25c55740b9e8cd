package shellhttp

import (
	"io"
	"slices"
)

// ReadFrom implements [io.ReaderFrom]: it queues what in brings, as [Session.Write]
// does, until in ends or input cannot be delivered. What is read is not copied again
// before it is sent, as a rule. What is written meanwhile waits for in.
func (s *Session) ReadFrom(in io.Reader) (n int64, err error) {
	for {
		room, err := s.stdin.claim()
		if err != nil {
			return n, err
		}
		m, ended := in.Read(room)
		n += int64(m)
		if err := s.stdin.keep(room[:m]); err != nil {
			return n, err
		}
		if ended == io.EOF {
			return n, nil
		}
		if ended != nil {
			return n, ended
		}
	}
}

// claim returns memory behind the queue, which is neither moved nor sent before
// keep.
func (q *stdinSender) claim() ([]byte, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.awaitRoom(); err != nil {
		return nil, err
	}
	if len(q.queue) == 0 {
		q.queue = append(q.queue, stdinHeader[:]...)
	}
	room := q.room() - q.waiting()
	q.queue = slices.Grow(q.queue, room)
	q.claimed = true
	return q.queue[len(q.queue) : len(q.queue)+room], nil
}

// keep queues what was read into the begin of what claim returned.
func (q *stdinSender) keep(p []byte) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.claimed = false
	q.changed.Broadcast()
	switch {
	case q.err != nil:
		return q.err
	case q.eof:
		return errInputEnded
	case len(p) == 0:
		return nil
	}
	end := len(q.queue)
	q.queue = q.queue[:end+len(p)]
	if read := q.queue[end:]; &read[0] != &p[0] {
		copy(read, p) // some before it was sent meanwhile
	}
	q.work()
	return nil
}
