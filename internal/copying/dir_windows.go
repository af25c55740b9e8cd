package copying

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"sync/atomic"
	"time"
)

// directory is one that is held open: nothing leads out of it. It may be used
// concurrently; who retains it releases it.
type directory struct {
	root *os.Root
	path string
	refs atomic.Int32
}

// openDirectory opens one by a path that this side's person has chosen.
func openDirectory(_ Place, path string) (*directory, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	return newDirectory(root, path), nil
}

func newDirectory(root *os.Root, path string) *directory {
	d := &directory{root: root, path: path}
	d.refs.Store(1)
	return d
}

func (d *directory) retain() *directory {
	d.refs.Add(1)
	return d
}

func (d *directory) release() {
	if d.refs.Add(-1) == 0 {
		_ = d.root.Close()
	}
}

var errIsLink = errors.New("a symbolic link is in the way")

// plain refuses links: a root follows those that stay within.
func (d *directory) plain(name string) error {
	info, err := d.root.Lstat(name)
	if err == nil && info.Mode()&fs.ModeSymlink != 0 {
		err = &fs.PathError{Op: "open", Path: join(d.path, name), Err: errIsLink}
	}
	return err
}

func (d *directory) open(name string) (*os.File, error) {
	if err := d.plain(name); err != nil {
		return nil, err
	}
	return d.root.Open(name)
}

// read reads a file whole, if it has room in buf: otherwise n is 0, and what it is
// tells why.
func (d *directory) read(name string, buf []byte) (m meta, n int, err error) {
	f, err := d.open(name)
	if err != nil {
		return m, 0, err
	}
	defer f.Close()
	if m, err = statOf(f); err != nil || m.form != formFile || m.size > int64(len(buf)) {
		return m, 0, err
	}
	n, err = io.ReadFull(f, buf[:m.size])
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = &fs.PathError{Op: "read", Path: f.Name(), Err: errShrank}
	}
	return m, n, err
}

func (d *directory) openDir(name string) (*directory, error) {
	if err := d.plain(name); err != nil {
		return nil, err
	}
	root, err := d.root.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	return newDirectory(root, join(d.path, name)), nil
}

func (d *directory) create(name string) (*os.File, error) {
	return d.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
}

func (d *directory) reopen(name string) (*os.File, error) {
	if err := d.plain(name); err != nil {
		return nil, err
	}
	return d.root.OpenFile(name, os.O_RDWR, 0)
}

func (d *directory) lstat(name string) (meta, error) {
	info, err := d.root.Lstat(name)
	if err != nil {
		return meta{}, err
	}
	return metaOf(info), nil
}

func (d *directory) stat() (meta, error) { return d.lstat(".") }

func statOf(f *os.File) (meta, error) {
	info, err := f.Stat()
	if err != nil {
		return meta{}, err
	}
	return metaOf(info), nil
}

func (d *directory) readlink(name string) (string, error) { return d.root.Readlink(name) }
func (d *directory) mkdir(name string) error              { return d.root.Mkdir(name, 0o700) }
func (d *directory) symlink(target, name string) error    { return d.root.Symlink(target, name) }
func (d *directory) rename(from, to string) error         { return d.root.Rename(from, to) }
func (d *directory) remove(name string) error             { return d.root.Remove(name) }

func (d *directory) setTimes(name string, sec int64, nsec uint32) error {
	if name == "" {
		name = "."
	}
	if err := d.plain(name); err != nil {
		return nil // a link has no time of its own here
	}
	return d.root.Chtimes(name, time.Now(), time.Unix(sec, int64(nsec)))
}

// chmod does nothing: there is one bit, which would make a directory read-only.
func (d *directory) chmod(uint32) error { return nil }

func chmodFile(f *os.File, mode uint32) error { return f.Chmod(fs.FileMode(mode) & fs.ModePerm) }

// nonblocking is what opening a file needs besides.
const nonblocking = 0

// renamesOpen says that a file may get another name while it is open.
const renamesOpen = false

// openFiles is how many files this process may have open.
func openFiles() uint64 { return 1 << 24 }

// lock has nothing to take: a file that is open cannot be replaced here.
func lock(*os.File) bool { return true }
func unlock(*os.File)    {}

// list opens the directory for reading its names.
func (d *directory) list() (*os.File, error) { return d.root.Open(".") }

func (d *directory) sync() error { return nil }
