package copying

import (
	"crypto/sha256"
	"hash"
	"sync"
)

// write deals with a file's content to its end.
func (f *incoming) write() {
	defer f.cancel()
	h, toHash := sha256.New(), make(chan piece, 4)
	var hashing sync.WaitGroup
	hashing.Go(func() { hashPieces(h, toHash) })
	err := f.prepare()
	for {
		p := <-f.pieces
		if p.end {
			close(toHash)
			hashing.Wait()
			if err == nil && p.whole != nil {
				f.complete(h, p.whole)
				return
			}
			f.part.keep()
			f.over()
			return
		}
		if err == nil {
			if err = f.store(p); err != nil {
				f.fail(err)
			}
		}
		toHash <- p
	}
}

func hashPieces(h hash.Hash, pieces <-chan piece) {
	for p := range pieces {
		if p.block == nil {
			addHole(h, p.hole)
			continue
		}
		_, _ = h.Write(p.block.content())
		p.block.release()
	}
}

// prepare empties a file that is not gone on with.
func (f *incoming) prepare() error {
	if f.from > 0 || f.disk == 0 {
		return nil
	}
	err := f.part.writing(f.disk, func() error { return f.part.file.Truncate(0) })
	if err != nil {
		f.fail(err)
	}
	f.disk = 0
	return err
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
