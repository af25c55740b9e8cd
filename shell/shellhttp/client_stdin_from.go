package shellhttp

import (
	"io"
	"slices"
)

// smallRead is how much is read to where it is copied from, in bytes: what a pipe
// holds. Where that is there at once, there is more.
const smallRead = 64 << 10

// ReadFrom implements [io.ReaderFrom]: it queues what in brings, as [Session.Write]
// does, until in ends or input cannot be delivered. Where much comes at once, it is
// read to where it is sent from. What is written meanwhile may wait for in.
func (s *Session) ReadFrom(in io.Reader) (n int64, err error) {
	buf, much := make([]byte, smallRead), false
	for {
		var m int
		var ended error
		if much {
			m, much, ended, err = s.stdin.readInto(in)
		} else {
			m, ended = in.Read(buf)
			_, err = s.stdin.write(buf[:m])
			much = m == len(buf)
		}
		n += int64(m)
		switch {
		case err != nil:
			return n, err
		case ended == io.EOF:
			return n, nil
		case ended != nil:
			return n, ended
		}
	}
}

// readInto reads once, to behind the queue. much says that it filled what room there
// was; ended is what the reader said, err why no more is taken.
func (q *stdinSender) readInto(in io.Reader) (n int, much bool, ended, err error) {
	room, err := q.claim()
	if err != nil {
		return 0, false, nil, err
	}
	n, ended = in.Read(room)
	return n, n == len(room), ended, q.keep(room[:n])
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
