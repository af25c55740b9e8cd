//go:build unix

package copying

import (
	"io/fs"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// directory is one that is held open: what is done in it is done in this one,
// whatever becomes of its path. Nothing that it does follows a link. It may be
// used concurrently; who retains it releases it.
type directory struct {
	file *os.File
	fd   int
	path string // for messages, and for links that are to be followed
	refs atomic.Int32
}

// openDirectory opens one by a path that this side's person, or policy, has
// chosen.
func openDirectory(p Place, path string) (*directory, error) {
	f, err := p.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	return newDirectory(f, path), nil
}

func newDirectory(f *os.File, path string) *directory {
	d := &directory{file: f, fd: int(f.Fd()), path: path}
	d.refs.Store(1)
	return d
}

func (d *directory) retain() *directory {
	d.refs.Add(1)
	return d
}

func (d *directory) release() {
	if d.refs.Add(-1) == 0 {
		_ = d.file.Close()
	}
}

func (d *directory) wrap(op, name string, err error) error {
	runtime.KeepAlive(d.file)
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: join(d.path, name), Err: err}
}

func uninterrupted(do func() error) error {
	for {
		if err := do(); err != unix.EINTR {
			return err
		}
	}
}

func (d *directory) openat(op, name string, flags int, perm uint32) (fd int, err error) {
	err = uninterrupted(func() (err error) {
		fd, err = unix.Openat(d.fd, name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, perm)
		return err
	})
	return fd, d.wrap(op, name, err)
}

// open opens a file to read. What turns out to be something else is the caller's
// to see.
func (d *directory) open(name string) (*os.File, error) {
	fd, err := d.openat("open", name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), join(d.path, name)), nil
}

// read reads a file whole, if it has room in buf: otherwise n is 0, and what it is
// tells why.
func (d *directory) read(name string, buf []byte) (m meta, n int, err error) {
	fd, err := d.openat("open", name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return m, 0, err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := uninterrupted(func() error { return unix.Fstat(fd, &st) }); err != nil {
		return m, 0, d.wrap("stat", name, err)
	}
	m = metaOfStat(&st)
	if m.form != formFile || m.size > int64(len(buf)) {
		return m, 0, nil
	}
	for int64(n) < m.size {
		var got int
		err := uninterrupted(func() (err error) {
			got, err = unix.Read(fd, buf[n:m.size])
			return err
		})
		if err != nil {
			return m, 0, d.wrap("read", name, err)
		}
		if got == 0 {
			return m, 0, d.wrap("read", name, errShrank)
		}
		n += got
	}
	return m, n, nil
}

// openDir opens a directory in it.
func (d *directory) openDir(name string) (*directory, error) {
	fd, err := d.openat("open", name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	path := join(d.path, name)
	return newDirectory(os.NewFile(uintptr(fd), path), path), nil
}

// create makes a file that was not there.
func (d *directory) create(name string) (*os.File, error) {
	fd, err := d.openat("create", name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), join(d.path, name)), nil
}

// reopen opens a file that is there to write to it.
func (d *directory) reopen(name string) (*os.File, error) {
	fd, err := d.openat("open", name, unix.O_RDWR|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), join(d.path, name)), nil
}

func (d *directory) lstat(name string) (meta, error) {
	var st unix.Stat_t
	err := uninterrupted(func() error { return unix.Fstatat(d.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) })
	return metaOfStat(&st), d.wrap("lstat", name, err)
}

// stat is what the directory itself is.
func (d *directory) stat() (meta, error) {
	var st unix.Stat_t
	err := uninterrupted(func() error { return unix.Fstat(d.fd, &st) })
	return metaOfStat(&st), d.wrap("stat", "", err)
}

func statOf(f *os.File) (meta, error) {
	var st unix.Stat_t
	err := uninterrupted(func() error { return unix.Fstat(int(f.Fd()), &st) })
	runtime.KeepAlive(f)
	if err != nil {
		return meta{}, &fs.PathError{Op: "stat", Path: f.Name(), Err: err}
	}
	return metaOfStat(&st), nil
}

type fileID struct{ dev, ino uint64 }

func metaOfStat(st *unix.Stat_t) meta {
	m := meta{
		mode: uint32(st.Mode) & 0o7777, size: st.Size, sec: int64(st.Mtim.Sec), nsec: uint32(st.Mtim.Nsec),
		sparse: st.Blocks*512 < st.Size, id: fileID{uint64(st.Dev), uint64(st.Ino)}, own: int(st.Uid) == os.Geteuid(), links: uint64(st.Nlink),
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		m.form = formFile
	case unix.S_IFDIR:
		m.form = formDir
	case unix.S_IFLNK:
		m.form = formLink
	}
	return m
}

func (d *directory) readlink(name string) (string, error) {
	for size := 256; ; size *= 2 {
		buf := make([]byte, size)
		n, err := unix.Readlinkat(d.fd, name, buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n < size {
			return string(buf[:max(n, 0)]), d.wrap("readlink", name, err)
		}
	}
}

func (d *directory) mkdir(name string) error {
	return d.wrap("mkdir", name, uninterrupted(func() error { return unix.Mkdirat(d.fd, name, 0o700) }))
}

func (d *directory) symlink(target, name string) error {
	return d.wrap("symlink", name, uninterrupted(func() error { return unix.Symlinkat(target, d.fd, name) }))
}

func (d *directory) rename(from, to string) error {
	return d.wrap("rename", to, uninterrupted(func() error { return unix.Renameat(d.fd, from, d.fd, to) }))
}

func (d *directory) remove(name string) error {
	return d.wrap("remove", name, uninterrupted(func() error { return unix.Unlinkat(d.fd, name, 0) }))
}

// setTimes sets when something was changed, and when it was last read to now.
// "" is the directory itself.
func (d *directory) setTimes(name string, sec int64, nsec uint32) error {
	flags := unix.AT_SYMLINK_NOFOLLOW
	if name == "" {
		name, flags = ".", 0
	}
	modified, err := unix.TimeToTimespec(time.Unix(sec, int64(nsec)))
	if err != nil {
		return d.wrap("set the time of", name, err)
	}
	times := []unix.Timespec{unix.NsecToTimespec(time.Now().UnixNano()), modified}
	err = uninterrupted(func() error { return unix.UtimesNanoAt(d.fd, name, times, flags) })
	return d.wrap("set the time of", name, err)
}

func (d *directory) chmod(mode uint32) error {
	return d.wrap("chmod", "", uninterrupted(func() error { return unix.Fchmod(d.fd, mode) }))
}

func chmodFile(f *os.File, mode uint32) error {
	err := uninterrupted(func() error { return unix.Fchmod(int(f.Fd()), mode) })
	runtime.KeepAlive(f)
	if err != nil {
		return &fs.PathError{Op: "chmod", Path: f.Name(), Err: err}
	}
	return nil
}

// nonblocking has an open of a pipe not wait for its other end.
const nonblocking = unix.O_NONBLOCK | unix.O_NOCTTY

// renamesOpen says that a file may get another name while it is open.
const renamesOpen = true

// openFiles is how many files this process may have open.
func openFiles() uint64 {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return 256
	}
	return uint64(limit.Cur)
}

// lock takes a file for this process, as long as it is open; false where another
// one has it.
func lock(f *os.File) bool {
	return uninterrupted(func() error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) }) == nil
}

func unlock(f *os.File) { _ = unix.Flock(int(f.Fd()), unix.LOCK_UN) }

// list opens the directory for reading its names.
func (d *directory) list() (*os.File, error) {
	fd, err := d.openat("open", ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), d.path), nil
}

// sync writes names to disk.
func (d *directory) sync() error { return d.file.Sync() }
