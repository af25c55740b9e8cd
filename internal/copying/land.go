package copying

import (
	"crypto/sha256"
	"errors"
	"sync/atomic"
	"time"
)

// tendEvery is how long answers wait for each other that nobody waits for.
const tendEvery = 100 * time.Millisecond

var (
	errDigest = errors.New("what arrived is not what was read: its SHA-256 is another one")
	errLength = errors.New("what arrived has not the length that was announced")
)

// work deals with files until there are no more.
func (r *receiver) work() {
	for j := range r.jobs {
		r.deal(j)
		j.level.release()
		if j.block != nil {
			j.block.release()
		}
		r.working.Done()
	}
}

func (r *receiver) deal(j job) {
	dir := j.level.dir
	if dir == nil {
		if j.rec.kind == kindOffer {
			r.open.Add(-1)
		}
		r.fail(j.rec.id, "", nil)
		return
	}
	var err error
	if j.rec.kind == kindOffer {
		err = r.consider(j)
	} else if err = r.land(dir, j); err == nil {
		r.done(j.rec.id)
	}
	if err != nil {
		if j.rec.kind == kindOffer {
			r.open.Add(-1)
		}
		r.fail(j.rec.id, join(dir.path, j.rec.name), err)
	}
}

// impatient is a small file's: no other copy is waited for.
var impatient atomic.Bool

// land writes a small file.
func (r *receiver) land(dir *directory, j job) error {
	content := j.block.content()
	if sha256.Sum256(content) != j.rec.sum {
		return errDigest
	}
	if err := dir.vacant(j.rec.name); err != nil {
		return err
	}
	p, err := claim(r.ctx, dir, j.rec.name, &impatient)
	if err != nil {
		return err
	}
	if p.size > 0 {
		err = p.file.Truncate(0)
	}
	if err == nil {
		_, err = p.file.Write(content)
	}
	r.watch.Moved(int64(len(content)))
	j.rec.size = int64(len(content))
	if err == nil {
		err = p.place(&j.rec, r.o.Sync)
	}
	if err != nil {
		p.discard()
	}
	return err
}

// consider answers an offer.
func (r *receiver) consider(j job) error {
	dir, rec := j.level.dir, j.rec
	if r.o.Update {
		same, err := unchangedFile(dir, &rec)
		if same || err != nil {
			if err == nil {
				r.watch.Did(Unchanged)
				r.answer(&record{kind: kindSkip, id: rec.id})
			}
			return err
		}
	}
	if err := dir.vacant(rec.name); err != nil {
		return err
	}
	p, err := claim(r.ctx, dir, rec.name, &r.patient)
	if err != nil {
		return err
	}
	if p.size > rec.size {
		if err := p.file.Truncate(0); err != nil {
			p.keep()
			return err
		}
		p.size = 0
	}
	want := record{kind: kindWant, id: rec.id, size: p.size}
	if p.size > 0 {
		if want.sum2, err = sumOf(r.ctx, p.file, max(0, p.size-checkSize), p.size); err != nil {
			p.keep()
			return err
		}
	}
	r.hold(&incoming{r: r, level: j.level.retain(), rec: rec, part: p, at: p.size})
	r.put(&want)
	return nil
}

// unchangedFile says whether a file is there that has the size and time of what is
// offered. It gets the mode, too.
func unchangedFile(dir *directory, rec *record) (bool, error) {
	m, err := dir.lstat(rec.name)
	if err != nil || m.form != formFile || m.size != rec.size || !m.sameTime(rec.sec, rec.nsec) {
		return false, nil
	}
	if m.carried() == rec.mode&fileModes {
		return true, nil
	}
	f, err := dir.open(rec.name)
	if err != nil {
		return false, err
	}
	defer f.Close()
	return true, chmodFile(f, rec.mode&fileModes)
}

// answer says what became of an offer or of a small file; put says it at once.
func (r *receiver) answer(rec *record) {
	r.open.Add(-1)
	r.put(rec)
}

func (r *receiver) put(rec *record) {
	if r.out.put(rec) == nil {
		_ = r.out.flush()
	}
}

// done answers for a small file, which nobody waits for.
func (r *receiver) done(id uint64) {
	r.watch.Did(CopiedFile)
	_ = r.out.put(&record{kind: kindDone, id: id})
}

// fail says what could not be written. Without an error it was said of the
// directory.
func (r *receiver) fail(id uint64, path string, err error) {
	rec := record{kind: kindFail, id: id}
	if err != nil {
		rec.name, rec.text = cut(path), cut(reason(err))
		r.watch.Problem(Receiving, path, rec.text, false)
	}
	r.put(&rec)
}

// tend writes answers that wait, and lets go of files that nothing comes for.
func (r *receiver) tend() {
	tick := time.NewTicker(tendEvery)
	defer tick.Stop()
	last, since := r.in.pulse.beats.Load(), time.Now()
	for {
		select {
		case <-r.ctx.Done():
			return
		case <-tick.C:
		}
		if beats := r.in.pulse.beats.Load(); beats != last {
			last, since = beats, time.Now()
		}
		if time.Since(since) > idleHold {
			r.loosen()
		}
		_ = r.out.flush()
	}
}
