package copying

import (
	"context"
	"sync/atomic"
)

// incoming is a file that the sender was asked for. Its content is written as it
// comes, and hashed by another goroutine.
type incoming struct {
	r     *receiver
	level *level
	rec   record
	part  *part
	at    int64 // the file is written, or asked to be written, up to here

	ctx      context.Context
	cancel   context.CancelFunc
	pieces   chan piece
	from     int64
	prefix   chan piece  // the digest of what was there before
	broken   bool        // it cannot be written any more
	written  int64       // content up to here was dealt with
	disk     int64       // the length that the file has
	answered atomic.Bool // the sender knows what became of it
}

// answer says whether the sender is still to be told what became of a file, and
// that it is.
func (f *incoming) answer() bool {
	if !f.answered.CompareAndSwap(false, true) {
		return false
	}
	f.r.open.Add(-1)
	return true
}

func (f *incoming) path() string { return join(f.level.dir.path, f.rec.name) }

func (f *incoming) fail(err error) {
	if f.answer() {
		f.r.fail(f.rec.id, f.path(), err)
	}
}

// hold keeps a file until the sender begins it.
func (r *receiver) hold(f *incoming) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held[f.rec.id] = f
}

func (r *receiver) takeHeld(id uint64) *incoming {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := r.held[id]
	delete(r.held, id)
	if f != nil {
		r.active[f] = true
	}
	return f
}

func (r *receiver) inactive(f *incoming) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.active, f)
}

// loosen lets other copies have what is held here.
func (r *receiver) loosen() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.held {
		f.part.loosen()
	}
	for f := range r.active {
		f.part.loosen()
	}
}

// letGo leaves what was begun for another attempt.
func (r *receiver) letGo() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.held {
		f.part.keep()
		f.level.release()
	}
	r.held = nil
	for _, l := range r.stack {
		l.release()
	}
}

// content takes a record of a file's content.
func (r *receiver) content(rec record, b *block) error {
	switch {
	case rec.kind == kindBegin:
		return r.begin(rec)
	case rec.kind == kindAbort:
		return r.abort(rec)
	}
	f := r.current
	if f == nil {
		if b != nil {
			b.release()
		}
		return malformed("content of no file")
	}
	switch rec.kind {
	case kindData:
		if int64(b.n) > f.rec.size-f.at {
			b.release()
			return malformed("a file is longer than was said")
		}
		f.at += int64(b.n)
		r.watch.Moved(int64(b.n))
		f.take(piece{block: b})
	case kindHole:
		if rec.size > f.rec.size-f.at {
			return malformed("a file is longer than was said")
		}
		f.at += rec.size
		r.watch.Moved(rec.size)
		f.take(piece{hole: rec.size})
	case kindWhole:
		f.finish(&rec)
	}
	return nil
}

// abort ends a file of which no more comes, or nothing.
func (r *receiver) abort(rec record) error {
	f := r.current
	if f == nil {
		if f = r.takeHeld(rec.id); f == nil {
			return malformed("it breaks off what was not asked for")
		}
		defer func() {
			f.part.keep()
			f.over()
		}()
	} else if f.rec.id != rec.id {
		return malformed("it breaks off another file")
	}
	if rec.text != "" {
		r.watch.Problem(Sending, rec.name, rec.text, false)
	}
	f.answer()
	if f == r.current {
		f.stop()
	}
	return nil
}

// begin has a file written from an offset on: from where it was asked for, or
// from the start when what is there is of another file.
func (r *receiver) begin(rec record) error {
	if r.current != nil {
		return malformed("a file begins in another one")
	}
	f := r.takeHeld(rec.id)
	if f == nil || rec.size != 0 && rec.size != f.part.size {
		return malformed("it begins what was not asked for")
	}
	f.ctx, f.cancel = context.WithCancel(r.ctx)
	f.from, f.at, f.written, f.disk = rec.size, rec.size, rec.size, f.part.size
	f.pieces = make(chan piece, 4)
	r.watch.Moving(f.path())
	r.watch.Resumed(f.from)
	if f.from > 0 {
		f.prefix = make(chan piece, 1)
		r.working.Go(func() {
			sum, err := sumOf(f.ctx, f.part.file, 0, f.from)
			f.prefix <- piece{sum: sum, err: err}
		})
	}
	r.current = f
	f.prepare()
	r.working.Go(f.follow)
	return nil
}

// finish ends a file's content; the rest is done while the next one comes.
func (f *incoming) finish(whole *record) {
	if f.broken {
		whole = nil
	}
	f.pieces <- piece{end: true, whole: whole}
	f.r.current = nil
}

// stop ends a file's content early.
func (f *incoming) stop() {
	f.pieces <- piece{end: true}
	f.r.current = nil
}
