package copying

import (
	"crypto/sha256"
	"hash"
)

// follow hashes a file's content, which is written already, and deals with its end.
func (f *incoming) follow() {
	defer f.cancel()
	h := sha256.New()
	for {
		p := <-f.pieces
		switch {
		case p.block != nil:
			_, _ = h.Write(p.block.content())
			p.block.release()
		case !p.end:
			addHole(h, p.hole)
		case p.whole != nil:
			f.complete(h, p.whole)
			return
		default:
			f.part.keep()
			f.over()
			return
		}
	}
}

// take writes content and passes it on. What follows on what could not be written
// is dropped.
func (f *incoming) take(p piece) {
	if !f.broken {
		if err := f.store(p); err != nil {
			f.broken = true
			f.fail(err)
		}
	}
	if f.broken {
		if p.block != nil {
			p.block.release()
		}
		return
	}
	f.pieces <- p
}

// prepare empties a file that is not gone on with.
func (f *incoming) prepare() {
	if f.from > 0 || f.disk == 0 {
		return
	}
	if err := f.part.writing(f.disk, func() error { return f.part.file.Truncate(0) }); err != nil {
		f.broken = true
		f.fail(err)
	}
	f.disk = 0
}

// store writes content, or leaves a hole.
func (f *incoming) store(p piece) error {
	if p.block == nil {
		f.written += p.hole
		return nil
	}
	err := f.part.writing(f.disk, func() error {
		_, err := f.part.file.WriteAt(p.block.content(), f.written)
		return err
	})
	if err == nil {
		f.written += int64(p.block.n)
		f.disk = f.written
	}
	return err
}

// complete sees whether the file is what the sender read, and puts it in its
// place.
func (f *incoming) complete(h hash.Hash, whole *record) {
	again, err := f.verify(h, whole)
	if again {
		f.again()
		return
	}
	defer f.over()
	if err == nil {
		if f.disk < f.rec.size {
			err = f.part.writing(f.disk, func() error { return f.part.file.Truncate(f.rec.size) })
		}
		if err == nil {
			err = f.part.place(&f.rec, f.r.o.Sync)
		}
		if err != nil {
			f.part.keep()
		}
	} else {
		f.part.discard()
	}
	if err != nil {
		f.fail(err)
		return
	}
	if f.answer() {
		f.r.watch.Did(CopiedFile)
		f.r.put(&record{kind: kindDone, id: f.rec.id})
	}
}

// verify compares lengths and digests. again says that what was there before is
// of another file.
func (f *incoming) verify(h hash.Hash, whole *record) (again bool, err error) {
	if f.written != f.rec.size {
		return false, errLength
	}
	var sum [sha256.Size]byte
	if h.Sum(sum[:0]); sum != whole.sum {
		return false, errDigest
	}
	if f.from == 0 {
		return false, nil
	}
	before := <-f.prefix
	return before.sum != whole.sum2, before.err
}

// again asks for the whole file.
func (f *incoming) again() {
	r := f.r
	r.watch.Resumed(-f.from)
	r.watch.Moved(f.from - f.rec.size)
	if err := f.part.writing(f.disk, func() error { return f.part.file.Truncate(0) }); err != nil {
		f.part.keep()
		f.fail(err)
		f.over()
		return
	}
	f.part.size = 0
	r.inactive(f)
	r.hold(&incoming{r: r, level: f.level, rec: f.rec, part: f.part})
	r.put(&record{kind: kindWant, id: f.rec.id})
}

// over lets go of a file that is dealt with.
func (f *incoming) over() {
	f.r.inactive(f)
	f.level.release()
}
