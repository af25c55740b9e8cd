package copying

import (
	"context"
	"errors"
	"os"
	"sync"
)

// maxBegun is how often one file is sent: once more where what an earlier attempt
// brought turns out to be of another one.
const maxBegun = 2

// send sends sources to who receives on the other end of in and out, until the
// other side has dealt with all of them. What cannot be sent, and what cannot be
// written there, is told to watch, and the rest goes on. An error says why not
// even that: of the context, of a stream, or that the other side is no receiver.
// When the context ends the caller has to end the streams. takes is how many
// offers the other side takes.
func send(ctx context.Context, place Place, sources []string, o Options, takes uint64, in *reader, out *writer, watch Observer) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s := &sender{
		ctx: ctx, place: place, in: in, out: out, watch: watch, offers: newOffers(int(min(uint64(offersFor(openFiles())), max(1, takes)))),
		wants: make(chan record, maxBegun*maxOffers), changed: make(chan struct{}, 1), finished: make(chan struct{}),
	}
	defer s.offers.closeAll()
	batches, free := make(chan []byte, 4), make(chan []byte, 4)
	var running sync.WaitGroup
	running.Go(func() {
		defer close(batches)
		w := &walker{ctx: ctx, place: place, o: o, offers: s.offers, out: batches, free: free, watch: watch, buf: make([]byte, maxInline)}
		if err := w.walk(sources); err != nil {
			cancel(err)
		}
	})
	if o.Count {
		running.Go(func() { s.count(sources, o) })
	}
	listening := make(chan struct{})
	go func() {
		defer close(listening)
		if err := s.listen(); err != nil {
			cancel(err)
		}
	}()
	err := s.run(batches, free)
	if err == nil {
		<-listening
	}
	cause := context.Cause(ctx)
	cancel(err)
	running.Wait()
	if err == nil || cause != nil {
		err = cause
	}
	return err
}

// sender is one copy, as the sending side has it.
type sender struct {
	ctx    context.Context
	place  Place
	in     *reader
	out    *writer
	watch  Observer
	offers *offers

	wants    chan record   // within bounds, so that answers never wait
	changed  chan struct{} // an offer was closed
	finished chan struct{} // everything was sent
}

// run writes what the walker describes and what the other side wants, until there
// is no more of either.
func (s *sender) run(batches <-chan []byte, free chan<- []byte) error {
	for batches != nil || !s.offers.none() {
		var err error
		select {
		case batch, more := <-batches:
			if !more {
				batches = nil
				continue
			}
			err = s.batch(batch, free)
		case want := <-s.wants:
			err = s.content(want)
		default:
			if err = s.out.flush(); err != nil {
				break
			}
			select {
			case batch, more := <-batches:
				if !more {
					batches = nil
					continue
				}
				err = s.batch(batch, free)
			case want := <-s.wants:
				err = s.content(want)
			case <-s.changed:
			case <-s.ctx.Done():
				err = s.ctx.Err()
			}
		}
		if err != nil {
			return err
		}
	}
	close(s.finished)
	if err := s.out.put(&record{kind: kindFinish}); err != nil {
		return err
	}
	return s.out.flush()
}

func (s *sender) batch(batch []byte, free chan<- []byte) error {
	err := s.out.raw(batch)
	select {
	case free <- batch:
	default:
	}
	return err
}

// listen takes the other side's answers until it has dealt with everything.
func (s *sender) listen() error {
	for {
		r, _, err := s.in.next()
		if err != nil {
			return err
		}
		switch r.kind {
		case kindWant:
			f := s.offers.get(r.id)
			if f == nil || r.size > f.m.size {
				return malformed("it wants what was not offered")
			}
			if f.times++; f.times > maxBegun {
				return malformed("it wants a file for the %d. time", f.times)
			}
			// There is room but for who wants files and lets them fail, time and again.
			select {
			case s.wants <- r:
			case <-s.ctx.Done():
				return s.ctx.Err()
			}
		case kindDone:
			s.watch.Did(CopiedFile)
			s.close(r.id)
		case kindSkip:
			s.watch.Did(Unchanged)
			s.close(r.id)
		case kindFail:
			if r.text != "" {
				s.watch.Problem(Receiving, r.name, r.text, false)
			}
			s.close(r.id)
		case kindFinished:
			select {
			case <-s.finished:
				return nil
			default:
				return malformed("it has finished before everything was sent")
			}
		default:
			return malformed("record %d is no answer", r.kind)
		}
	}
}

func (s *sender) close(id uint64) {
	if f, _ := s.offers.close(id); f == nil {
		return
	}
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// content sends a file from where the other side wants it.
func (s *sender) content(want record) error {
	f := s.offers.get(want.id)
	if f == nil {
		return nil // it failed there meanwhile
	}
	from, err := f.openAt(s, want)
	if err == nil {
		defer from.file.Close()
		err = s.stream(want.id, f, from)
	}
	var own *sourceError
	if !errors.As(err, &own) {
		return err
	}
	// The other side keeps what it has, for another attempt.
	s.watch.Problem(Sending, f.shown(), reason(own.err), false)
	r := problemRecord(f.shown(), own.err, false)
	r.kind, r.id = kindAbort, want.id
	err = s.out.put(r)
	s.close(want.id)
	return err
}

// sourceError is of the file that is read, and not of the connection.
type sourceError struct{ err error }

func (e *sourceError) Error() string { return e.err.Error() }

// opened is a file and where its content is wanted from.
type opened struct {
	file *os.File
	at   int64
}

// openAt opens an offered file, and sees whether what the other side has of it
// may be its beginning.
func (f *offered) openAt(s *sender, want record) (opened, error) {
	var file *os.File
	var err error
	if f.path != "" {
		file, err = s.place.OpenFile(f.path, os.O_RDONLY|nonblocking, 0)
	} else {
		file, err = f.dir.open(f.name)
	}
	if err != nil {
		return opened{}, &sourceError{err}
	}
	now, err := statOf(file)
	if err == nil {
		err = unchanged(f.m, now)
	}
	if err != nil {
		file.Close()
		return opened{}, &sourceError{err}
	}
	f.m.sparse = now.sparse
	at := want.size
	if at > 0 {
		sum, err := sumOf(s.ctx, file, max(0, at-checkSize), at)
		if err != nil || sum != want.sum2 {
			at = 0
		}
	}
	return opened{file, at}, nil
}

// stream sends the content of one file.
func (s *sender) stream(id uint64, f *offered, from opened) error {
	ctx, cancel := context.WithCancel(s.ctx)
	pieces, prefix := make(chan piece, 4), make(chan piece, 1)
	var reading sync.WaitGroup
	reading.Go(func() { readContent(ctx, from.file, f.m, from.at, pieces) })
	defer func() {
		cancel()
		reading.Wait()
		for len(pieces) > 0 {
			if p := <-pieces; p.block != nil {
				p.block.release()
			}
		}
	}()
	if from.at > 0 {
		reading.Go(func() {
			sum, err := sumOf(ctx, from.file, 0, from.at)
			prefix <- piece{sum: sum, err: err}
		})
	}
	s.watch.Moving(f.shown())
	// What was counted of an attempt that led nowhere is not.
	s.watch.Moved(-f.moved)
	s.watch.Resumed(from.at - f.resumed)
	f.moved, f.resumed = 0, from.at
	if err := s.out.put(&record{kind: kindBegin, id: id, size: from.at}); err != nil {
		return err
	}
	for {
		var p piece
		select {
		case p = <-pieces:
		case <-s.ctx.Done():
			return s.ctx.Err()
		}
		switch {
		case s.offers.get(id) == nil: // it failed there
			if p.block != nil {
				p.block.release()
			}
			return s.out.put(&record{kind: kindAbort, id: id})
		case p.end && p.err != nil:
			return &sourceError{p.err}
		case p.end:
			return s.whole(f, p, from.at, prefix)
		case p.hole > 0:
			if err := s.out.put(&record{kind: kindHole, size: p.hole}); err != nil {
				return err
			}
			s.moved(f, p.hole)
			continue
		}
		err := s.out.raw(p.block.framed())
		s.moved(f, int64(p.block.n))
		p.block.release()
		if err != nil {
			return err
		}
	}
}

func (s *sender) moved(f *offered, n int64) {
	f.moved += n
	s.watch.Moved(n)
}

// whole ends a file's content.
func (s *sender) whole(f *offered, end piece, at int64, prefix <-chan piece) error {
	r := record{kind: kindWhole, sum: end.sum}
	if at > 0 {
		before := <-prefix
		if before.err != nil {
			return &sourceError{before.err}
		}
		r.flags, r.sum2 = 1, before.sum
	}
	if end.grew {
		warning := problemRecord(f.shown(), errors.New(grewText(f.m.size)), true)
		s.watch.Problem(Sending, f.shown(), warning.text, true)
		return s.out.put(warning, &r)
	}
	return s.out.put(&r)
}
