package sftpd

import (
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"shellagent/internal/within"
)

// tree is the part of the file system that is served. Names are absolute and
// clean.
type tree interface {
	OpenFile(name string, flag int, perm fs.FileMode) (*os.File, error)
	Stat(name string) (fs.FileInfo, error)
	Lstat(name string) (fs.FileInfo, error)
	Readlink(name string) (string, error)
	Mkdir(name string, perm fs.FileMode) error
	Remove(name string) error
	Rename(from, to string) error
	Link(from, to string) error
	Symlink(target, name string) error
	Chmod(name string, mode fs.FileMode) error
	Chown(name string, uid, gid int) error
	Lchown(name string, uid, gid int) error
	Chtimes(name string, accessed, modified time.Time) error

	// Resolve returns the name without symbolic links, as far as that is known.
	Resolve(name string) string
	// Names lists a directory that is there only because it leads to others; ok is
	// false for all others.
	Names(name string) (list []string, ok bool)
	Close()
}

// whole is all that the user may touch.
type whole struct{}

var (
	_ tree = whole{}
	_ tree = (*within.Roots)(nil)
)

func (whole) OpenFile(name string, flag int, perm fs.FileMode) (*os.File, error) {
	return os.OpenFile(name, flag, perm)
}
func (whole) Stat(name string) (fs.FileInfo, error)     { return os.Stat(name) }
func (whole) Lstat(name string) (fs.FileInfo, error)    { return os.Lstat(name) }
func (whole) Readlink(name string) (string, error)      { return os.Readlink(name) }
func (whole) Mkdir(name string, perm fs.FileMode) error { return os.Mkdir(name, perm) }
func (whole) Remove(name string) error                  { return os.Remove(name) }
func (whole) Rename(from, to string) error              { return os.Rename(from, to) }
func (whole) Link(from, to string) error                { return os.Link(from, to) }
func (whole) Symlink(target, name string) error         { return os.Symlink(target, name) }
func (whole) Chmod(name string, mode fs.FileMode) error { return os.Chmod(name, mode) }
func (whole) Chown(name string, uid, gid int) error     { return os.Chown(name, uid, gid) }
func (whole) Lchown(name string, uid, gid int) error    { return os.Lchown(name, uid, gid) }
func (whole) Chtimes(name string, a, m time.Time) error { return os.Chtimes(name, a, m) }
func (whole) Names(string) ([]string, bool)             { return nil, false }
func (whole) Close()                                    {}

func (whole) Resolve(name string) string {
	if real, err := filepath.EvalSymlinks(name); err == nil {
		return real
	}
	return name
}
