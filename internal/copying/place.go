package copying

import (
	"io/fs"
	"os"
)

// Place is the part of the file system that a side may touch. Names are
// absolute, or relative to the working directory where the side has one of a
// person's. Links are followed as far as the place allows.
type Place interface {
	OpenFile(name string, flag int, perm fs.FileMode) (*os.File, error)
	Stat(name string) (fs.FileInfo, error)
	Lstat(name string) (fs.FileInfo, error)
}

// Everywhere is all that the process's user may touch.
type Everywhere struct{}

var _ Place = Everywhere{}

// OpenFile implements [Place].
func (Everywhere) OpenFile(name string, flag int, perm fs.FileMode) (*os.File, error) {
	return os.OpenFile(name, flag, perm)
}

// Stat implements [Place].
func (Everywhere) Stat(name string) (fs.FileInfo, error) { return os.Stat(name) }

// Lstat implements [Place].
func (Everywhere) Lstat(name string) (fs.FileInfo, error) { return os.Lstat(name) }
