package copying

import (
	"context"
	"errors"
	"os"
	"sync"
)

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
