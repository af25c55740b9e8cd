package copying

import (
	"context"
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
