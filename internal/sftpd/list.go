package sftpd

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"

	"github.com/pkg/sftp"
	"golang.org/x/sys/unix"
)

// Filelist implements [sftp.FileLister].
func (s *server) Filelist(r *sftp.Request) (sftp.ListerAt, error) {
	if r.Method != "List" {
		info, err := s.tree.Stat(r.Filepath)
		return one{info}, err
	}
	if names, ok := s.tree.Names(r.Filepath); ok {
		return &listing{tree: s.tree, dir: r.Filepath, names: names}, nil
	}
	f, err := s.tree.OpenFile(r.Filepath, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	return &listing{tree: s.tree, dir: r.Filepath, file: f}, nil
}

// Lstat implements [sftp.LstatFileLister].
func (s *server) Lstat(r *sftp.Request) (sftp.ListerAt, error) {
	info, err := s.tree.Lstat(r.Filepath)
	return one{info}, err
}

// one is a file, listed.
type one struct{ info fs.FileInfo }

// ListAt implements [sftp.ListerAt].
func (o one) ListAt(to []fs.FileInfo, offset int64) (int, error) {
	if offset > 0 || len(to) == 0 {
		return 0, io.EOF
	}
	to[0] = o.info
	return 1, io.EOF
}

// listing reads a directory as it is asked for: it is as large as it likes to be.
type listing struct {
	tree  tree
	dir   string
	file  *os.File // nil for one that only leads to others
	names []string
	done  bool
}

// ListAt implements [sftp.ListerAt]. The offset is where the one before ended.
func (l *listing) ListAt(to []fs.FileInfo, _ int64) (n int, err error) {
	for n == 0 && !l.done {
		names := l.names
		if l.file == nil {
			l.done = true
		} else if names, err = l.file.Readdirnames(len(to)); err != nil {
			l.done = true
			if !errors.Is(err, io.EOF) {
				return 0, err
			}
		}
		for _, name := range names {
			// What was removed meanwhile, or cannot be looked at, is not shown.
			if info, err := l.tree.Lstat(path.Join(l.dir, name)); err == nil && n < len(to) {
				to[n] = info
				n++
			}
		}
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// Close implements [io.Closer].
func (l *listing) Close() error {
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}
