package copying

import (
	"errors"
	"io/fs"
	"sync/atomic"
)

// level is a directory that is being received. It gets its mode and time when
// nothing more is written in it.
type level struct {
	dir  *directory // nil for one that could not be made: nothing below it is
	meta record
	keep bool // it was there before, and is not part of what is copied
	refs atomic.Int32
	r    *receiver
}

func (r *receiver) newLevel(d *directory, meta record, keep bool) *level {
	l := &level{dir: d, meta: meta, keep: keep, r: r}
	l.refs.Store(1)
	return l
}

func (l *level) retain() *level {
	l.refs.Add(1)
	return l
}

// release is called for each retain, and when the sender leaves the directory.
func (l *level) release() {
	if l.refs.Add(-1) > 0 || l.dir == nil {
		return
	}
	defer l.dir.release()
	// A copy that ends early leaves what the next one can go on with.
	if l.keep || l.r.ctx.Err() != nil {
		return
	}
	if err := l.settle(); err != nil {
		l.r.fail(0, l.dir.path, err)
		return
	}
	l.r.watch.Did(CopiedDir)
}

// settle sets what differs.
func (l *level) settle() error {
	m, err := l.dir.stat()
	if err != nil {
		return err
	}
	if m.sec != l.meta.sec || m.nsec != l.meta.nsec {
		if err := l.dir.setTimes("", l.meta.sec, l.meta.nsec); err != nil {
			return err
		}
	}
	if mode := l.meta.mode & dirModes; m.mode&dirModes != mode {
		if err := l.dir.chmod(mode); err != nil {
			return err
		}
	}
	if l.r.o.Sync {
		return l.dir.sync()
	}
	return nil
}

var (
	errLinkInWay = errors.New("a symbolic link is in the way, which is not followed")
	errFileInWay = errors.New("what is there is no directory, and is not replaced by one")
	errDirInWay  = errors.New("a directory is there, and is not replaced by what is none")
	errOddInWay  = errors.New("what is there is neither a file nor a link, and is not replaced")
)

// enter makes a directory, or opens the one that is there.
func (d *directory) enter(name string) (*directory, error) {
	err := d.mkdir(name)
	if err == nil {
		return d.openDir(name)
	}
	if !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	m, statErr := d.lstat(name)
	switch {
	case statErr != nil:
		return nil, statErr
	case m.form == formLink:
		return nil, errLinkInWay
	case m.form != formDir:
		return nil, errFileInWay
	}
	child, err := d.openDir(name)
	if err != nil {
		return nil, err
	}
	// One that its owner may not write to was copied like that, and gets its mode
	// back in the end.
	if m.own && m.mode&0o700 != 0o700 {
		_ = child.chmod(m.mode | 0o700)
	}
	return child, nil
}

// vacant says whether a file or a link may be put at a name: in place of one, or
// of nothing.
func (d *directory) vacant(name string) error {
	m, err := d.lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case m.form == formDir:
		return errDirInWay
	case m.form == formOther:
		return errOddInWay
	}
	return nil
}
