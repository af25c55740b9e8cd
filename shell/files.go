package shell

import (
	"path"
	"slices"
	"strings"
)

// Files is what a session of SFTP, or of a copy, may do with files, besides what its user may.
// Nobody changes it.
type Files struct {
	ReadOnly bool
	// Paths are clean absolute directories; only what is in or below one may be
	// touched. Nil means everything.
	Paths []string
}

// Covers says whether f allows all that other does.
func (f Files) Covers(other Files) bool {
	switch {
	case f.ReadOnly && !other.ReadOnly:
		return false
	case f.Paths == nil:
		return true
	case other.Paths == nil:
		return false
	}
	return !slices.ContainsFunc(other.Paths, func(p string) bool { return !f.Has(p) })
}

// Has says whether a clean absolute path is in or below one of Paths. It looks at
// names alone: a symbolic link can lead elsewhere.
func (f Files) Has(name string) bool {
	return f.Paths == nil || slices.ContainsFunc(f.Paths, func(dir string) bool { return isBelow(dir, name) })
}

func isBelow(dir, name string) bool {
	return name == dir || strings.HasPrefix(name, strings.TrimSuffix(path.Clean(dir), "/")+"/")
}
