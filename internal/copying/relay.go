package copying

import (
	"context"
	"sync"
)

// Relay has one server send to another. It keeps nothing, and passes on only what
// is in the protocol. When the context ends the caller has to end the streams.
func Relay(ctx context.Context, from, to *Peer, watch Observer) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	l := &relay{watch: watch, asked: from.asked, names: make(map[uint64]string)}
	forth := make(chan struct{})
	go func() {
		defer close(forth)
		if err := pass(from.in, to.out, l.sent); err != nil {
			cancel(err)
		}
	}()
	back := make(chan error, 1)
	go func() { back <- pass(to.in, from.out, l.answered) }()
	select {
	case err := <-back:
		if err != nil {
			cancel(err)
		}
	case <-ctx.Done():
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	<-forth
	return context.Cause(ctx)
}

// pass copies records until look has seen the last one.
func pass(in *reader, out *writer, look func(*record) (last bool, err error)) error {
	for {
		r, b, err := in.next()
		if err != nil {
			return err
		}
		if b != nil {
			r.data = b.content()
		}
		last, err := look(&r)
		if err == nil {
			err = out.put(&r)
		}
		if b != nil {
			b.release()
		}
		if err != nil {
			return err
		}
		if last || in.in.Buffered() == 0 {
			if err := out.flush(); err != nil {
				return err
			}
		}
		if last {
			return nil
		}
	}
}

// relay looks at what goes by.
type relay struct {
	watch Observer
	asked asked
	depth int
	mu    sync.Mutex
	names map[uint64]string // of files that are offered
}

// sent takes a sender's records.
func (l *relay) sent(r *record) (bool, error) {
	switch r.kind {
	case kindDir, kindSymlink, kindFile, kindOffer:
		// What is left out of a stream, its receiver would miss.
		if l.depth == 0 && !l.asked.holds(r.kind, r.name) {
			return false, malformed("%q was not asked for", r.name)
		}
	}
	switch r.kind {
	case kindDir:
		l.depth++
		l.watch.Did(CopiedDir)
	case kindSymlink:
		l.watch.Did(CopiedLink)
	case kindFile, kindData:
		l.watch.Moved(int64(len(r.data)))
	case kindHole:
		l.watch.Moved(r.size)
	case kindOffer:
		return false, l.offered(r)
	case kindBegin:
		l.mu.Lock()
		defer l.mu.Unlock()
		l.watch.Moving(l.names[r.id])
		l.watch.Resumed(r.size)
	case kindProblem:
		l.watch.Problem(Sending, r.name, r.text, r.flags != 0)
	case kindAbort:
		if r.text != "" {
			l.watch.Problem(Sending, r.name, r.text, false)
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.names, r.id)
	case kindTotal:
		l.watch.Expected(int64(r.count), r.size)
	case kindLeave:
		if l.depth--; l.depth < 0 {
			return false, malformed("it leaves what it did not enter")
		}
	case kindWhole:
	case kindFinish:
		return true, nil
	default:
		return false, malformed("record %d is none of a sender", r.kind)
	}
	return false, nil
}

func (l *relay) offered(r *record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.names[r.id] = r.name; len(l.names) > 2*maxOffers {
		return malformed("more than %d files are offered", maxOffers)
	}
	return nil
}

// answered takes a receiver's records.
func (l *relay) answered(r *record) (bool, error) {
	switch r.kind {
	case kindDone:
		l.watch.Did(CopiedFile)
	case kindSkip:
		l.watch.Did(Unchanged)
	case kindFail:
		if r.text != "" {
			l.watch.Problem(Receiving, r.name, r.text, false)
		}
	case kindWant:
		return false, nil
	case kindFinished:
		return true, nil
	default:
		return false, malformed("record %d is no answer", r.kind)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.names, r.id)
	return false, nil
}
