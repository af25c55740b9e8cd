// Package within is a file system that ends at some directories: no name, no
// symbolic link and no exchange of one while it is followed leads out of them. It
// is kept by file descriptors ([os.Root]).
package within

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"shellagent/shell"
)

// Roots are directories beyond which nothing leads. What is above them is shown
// as far as it leads to one, and holds nothing else. Names are absolute and clean.
// The methods do what those of package os do; they may be used concurrently.
type Roots struct {
	all []root
}

type root struct {
	dir string
	fs  *os.Root
}

// Open opens the directories as they are now: one that is replaced later is still
// the one that was meant.
func Open(dirs []string) (*Roots, error) {
	r := &Roots{}
	for _, dir := range dirs {
		opened, err := os.OpenRoot(dir)
		if err != nil {
			r.Close()
			return r, fmt.Errorf("what may be served cannot be opened: %w", err)
		}
		r.all = append(r.all, root{dir, opened})
	}
	// The innermost one is asked first.
	slices.SortStableFunc(r.all, func(a, b root) int { return len(b.dir) - len(a.dir) })
	return r, nil
}

// Close lets go of the directories.
func (r *Roots) Close() {
	for _, one := range r.all {
		_ = one.fs.Close()
	}
}

// at finds the root of a name, and the name below it.
func (r *Roots) at(op, name string) (*os.Root, string, error) {
	for _, one := range r.all {
		if !(shell.Files{Paths: []string{one.dir}}).Has(name) {
			continue
		}
		below := strings.TrimPrefix(strings.TrimPrefix(name, one.dir), "/")
		if below == "" {
			below = "."
		}
		return one.fs, below, nil
	}
	return nil, "", &fs.PathError{Op: op, Path: name, Err: syscall.EACCES}
}

// both finds the one root of two names: nothing is renamed or linked from one to
// another, as between two file systems.
func (r *Roots) both(op, from, to string) (where *os.Root, below, target string, err error) {
	where, below, err = r.at(op, from)
	if err != nil {
		return nil, "", "", err
	}
	other, target, err := r.at(op, to)
	if err == nil && other != where {
		err = &os.LinkError{Op: op, Old: from, New: to, Err: syscall.EXDEV}
	}
	return where, below, target, err
}

// OpenFile is [os.OpenFile].
func (r *Roots) OpenFile(name string, flag int, perm fs.FileMode) (*os.File, error) {
	at, below, err := r.at("open", name)
	if err != nil {
		return nil, err
	}
	return at.OpenFile(below, flag, perm)
}

// Stat is [os.Stat]. What is above a root is a directory.
func (r *Roots) Stat(name string) (fs.FileInfo, error) {
	if _, above := r.Names(name); above {
		return wayTo(name), nil
	}
	at, below, err := r.at("stat", name)
	if err != nil {
		return nil, err
	}
	info, err := at.Stat(below)
	return called(name, info), err
}

// Lstat is [os.Lstat]. What is above a root is a directory.
func (r *Roots) Lstat(name string) (fs.FileInfo, error) {
	if _, above := r.Names(name); above {
		return wayTo(name), nil
	}
	at, below, err := r.at("lstat", name)
	if err != nil {
		return nil, err
	}
	info, err := at.Lstat(below)
	return called(name, info), err
}

// Readlink is [os.Readlink].
func (r *Roots) Readlink(name string) (string, error) {
	at, below, err := r.at("readlink", name)
	if err != nil {
		return "", err
	}
	return at.Readlink(below)
}

// Mkdir is [os.Mkdir].
func (r *Roots) Mkdir(name string, perm fs.FileMode) error {
	at, below, err := r.at("mkdir", name)
	if err != nil {
		return err
	}
	return at.Mkdir(below, perm)
}

// Remove is [os.Remove].
func (r *Roots) Remove(name string) error {
	at, below, err := r.at("remove", name)
	if err != nil {
		return err
	}
	return at.Remove(below)
}

// Rename is [os.Rename]. Nothing is moved from one root to another.
func (r *Roots) Rename(from, to string) error {
	at, below, target, err := r.both("rename", from, to)
	if err != nil {
		return err
	}
	return at.Rename(below, target)
}

// Link is [os.Link]. Both names are below one root.
func (r *Roots) Link(from, to string) error {
	at, below, target, err := r.both("link", from, to)
	if err != nil {
		return err
	}
	return at.Link(below, target)
}

// Symlink is [os.Symlink].
func (r *Roots) Symlink(target, name string) error {
	at, below, err := r.at("symlink", name)
	if err != nil {
		return err
	}
	return at.Symlink(target, below)
}

// Chmod is [os.Chmod].
func (r *Roots) Chmod(name string, mode fs.FileMode) error {
	at, below, err := r.at("chmod", name)
	if err != nil {
		return err
	}
	return at.Chmod(below, mode)
}

// Chown is [os.Chown].
func (r *Roots) Chown(name string, uid, gid int) error {
	at, below, err := r.at("chown", name)
	if err != nil {
		return err
	}
	return at.Chown(below, uid, gid)
}

// Lchown is [os.Lchown].
func (r *Roots) Lchown(name string, uid, gid int) error {
	at, below, err := r.at("lchown", name)
	if err != nil {
		return err
	}
	return at.Lchown(below, uid, gid)
}

// Chtimes is [os.Chtimes].
func (r *Roots) Chtimes(name string, accessed, modified time.Time) error {
	at, below, err := r.at("chtimes", name)
	if err != nil {
		return err
	}
	return at.Chtimes(below, accessed, modified)
}

// Resolve follows nothing: a link that leads out would be told of.
func (r *Roots) Resolve(name string) string { return name }

// Names lists a directory that is there only because it leads to others; above is
// false for all others.
func (r *Roots) Names(name string) (list []string, above bool) {
	for _, one := range r.all {
		if name == one.dir || (shell.Files{Paths: []string{one.dir}}).Has(name) {
			return nil, false
		}
		if !(shell.Files{Paths: []string{name}}).Has(one.dir) {
			continue
		}
		rest := strings.TrimPrefix(strings.TrimPrefix(one.dir, name), "/")
		first, _, _ := strings.Cut(rest, "/")
		list = append(list, first)
	}
	slices.Sort(list)
	return slices.Compact(list), list != nil
}

// called gives a root, which calls itself ".", its name.
func called(name string, info fs.FileInfo) fs.FileInfo {
	if info == nil || info.Name() != "." {
		return info
	}
	return named{info, path.Base(name)}
}

type named struct {
	fs.FileInfo
	name string
}

func (n named) Name() string { return n.name }

// way is a directory above a root.
type way struct{ name string }

func wayTo(name string) fs.FileInfo { return way{path.Base(name)} }

func (w way) Name() string     { return w.name }
func (way) Size() int64        { return 0 }
func (way) Mode() fs.FileMode  { return fs.ModeDir | 0o555 }
func (way) ModTime() time.Time { return time.Unix(0, 0) }
func (way) IsDir() bool        { return true }
func (way) Sys() any           { return nil }
