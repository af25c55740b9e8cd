package copying

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// patience is how long another copy's hold on a file is waited for: somewhat
	// longer than one keeps it that hears nothing from its sender.
	patience = idleHold + 2*time.Second
	idleHold = 2 * time.Second
)

// part is a file that is being written, under a name of its own in the directory
// where it belongs.
type part struct {
	dir  *directory
	name string // its own
	as   string // what it will be called
	file *os.File
	id   any
	size int64 // when it was claimed

	mu    sync.Mutex
	loose bool // others may take it
}

// found is what became of an attempt to take a file.
type found uint8

const (
	taken    found = iota
	busy           // another copy has it
	vanished       // it was there, and is not
	foreign        // it is not a copy's
)

// claim opens the file that an earlier attempt has left, or a new one. Where
// another copy is at work on it, or where it is not to be trusted, that is one
// with another name, which no attempt to come will know. patient says whether to
// wait for another copy, which may be dead, and learns that it is not.
func claim(ctx context.Context, dir *directory, as string, patient *atomic.Bool) (*part, error) {
	p := &part{dir: dir, name: partName(as), as: as}
	deadline := time.Now().Add(patience)
	for range 1000 {
		what, err := p.take()
		if err != nil {
			return nil, err
		}
		switch {
		case what == taken:
			return p, nil
		case what == vanished:
			continue
		case what == foreign || !patient.Load():
			return p.elsewhere()
		case time.Now().After(deadline):
			patient.Store(false)
			return p.elsewhere()
		}
		select {
		case <-time.After(patience / 80):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return p.elsewhere()
}

// elsewhere makes a file with another name.
func (p *part) elsewhere() (*part, error) {
	var random [8]byte
	_, _ = rand.Read(random[:])
	p.name = partName(p.as + "." + hex.EncodeToString(random[:]))
	f, err := p.dir.create(p.name)
	if err != nil {
		return nil, err
	}
	return p, p.opened(f)
}

func (p *part) take() (found, error) {
	f, err := p.dir.create(p.name)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return foreign, err
	}
	if err != nil {
		f, err = p.dir.reopen(p.name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return vanished, nil
		case err != nil:
			return foreign, nil
		}
	}
	what := p.hold(f)
	if what != taken {
		f.Close()
		return what, nil
	}
	return taken, p.opened(f)
}

// hold sees whether a file is what an attempt leaves, and locks it. Also one that
// was made here may have been taken, and have got its name, in the meantime.
func (p *part) hold(f *os.File) found {
	m, err := statOf(f)
	if err != nil || m.form != formFile || !m.own || m.links > 1 {
		return foreign
	}
	if !lock(f) {
		return busy
	}
	if now, err := p.dir.lstat(p.name); err != nil || now.id != m.id {
		return vanished
	}
	if m.mode != 0o600 && chmodFile(f, 0o600) != nil {
		return foreign
	}
	return taken
}

func (p *part) opened(f *os.File) error {
	m, err := statOf(f)
	if err != nil {
		f.Close()
		return err
	}
	p.file, p.id, p.size = f, m.id, m.size
	return nil
}

// loosen lets other copies have the file while nothing comes for it.
func (p *part) loosen() {
	if !p.mu.TryLock() {
		return // it is being written
	}
	defer p.mu.Unlock()
	if !p.loose {
		p.loose = true
		unlock(p.file)
	}
}

var errTaken = errors.New("another copy of it has taken over")

// writing has the file for as long as do takes, if it still is what it was.
func (p *part) writing(size int64, do func() error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.loose {
		if !lock(p.file) {
			return errTaken
		}
		p.loose = false
		now, err := p.dir.lstat(p.name)
		if err != nil || now.id != p.id || now.size != size {
			return errTaken
		}
	}
	return do()
}

// keep closes the file and leaves it for another attempt, unless there is nothing
// in it.
func (p *part) keep() {
	if info, err := p.file.Stat(); err == nil && info.Size() == 0 {
		p.discard()
		return
	}
	p.file.Close()
}

// discard closes the file and removes it, if its name still is its own.
func (p *part) discard() {
	if now, err := p.dir.lstat(p.name); err == nil && now.id == p.id {
		_ = p.dir.remove(p.name)
	}
	p.file.Close()
}

// place gives the file the mode, the time and the name that it should have, and
// closes it.
func (p *part) place(r *record, durable bool) error {
	err := p.writing(r.size, func() error {
		if mode := r.mode & fileModes; mode != 0o600 {
			if err := chmodFile(p.file, mode); err != nil {
				return err
			}
		}
		if durable {
			if err := p.file.Sync(); err != nil {
				return err
			}
		}
		if !renamesOpen {
			if err := p.file.Close(); err != nil {
				return err
			}
		}
		if err := p.dir.setTimes(p.name, r.sec, r.nsec); err != nil {
			return err
		}
		return p.dir.rename(p.name, p.as)
	})
	if err == nil && renamesOpen {
		return p.file.Close()
	}
	return err
}
