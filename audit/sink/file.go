package sink

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"

	"shellagent/audit"
)

// fileSender appends to a file, which may be moved away under it: logrotate's
// create and move both work without a signal.
type fileSender struct {
	path  string
	file  *os.File
	named bool // the disk holds the file's name
	dirty bool // there is more than the disk holds
	late  error
}

func (s *fileSender) send(_ context.Context, lines []audit.Entry) (outcome, error) {
	if err := s.open(); err != nil {
		return outcome{}, err
	}
	var b []byte
	for _, l := range lines {
		b = append(append(b, l.Raw...), '\n')
	}
	info, err := s.file.Stat()
	if err != nil {
		return outcome{}, err
	}
	s.dirty = true
	if _, err := s.file.Write(b); err != nil {
		// What was written of it would stand in the middle of a line.
		return outcome{}, errors.Join(err, s.file.Truncate(info.Size()))
	}
	return outcome{done: len(lines)}, nil
}

// open opens the file that has the path now.
func (s *fileSender) open() error {
	if s.file != nil {
		is, err := s.file.Stat()
		if now, err2 := os.Stat(s.path); err == nil && err2 == nil && os.SameFile(is, now) {
			return nil
		}
		s.late = s.sync() // whoever moved it away may keep it
		s.close()
	}
	f, err := os.OpenFile(s.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	s.file, s.named = f, false
	return nil
}

// sync has the disk hold what was sent. What it fails on is not there, even if it
// is asked again and does not fail.
func (s *fileSender) sync() error {
	err := s.late
	if s.late = nil; s.file == nil || !s.dirty {
		return err
	}
	s.dirty = false
	err = errors.Join(err, bring(s.file))
	if !s.named {
		s.named = true
		if dir, e := os.Open(filepath.Dir(s.path)); e == nil { // it may be one to write in only
			err = errors.Join(err, bring(dir), dir.Close())
		}
	}
	return err
}

// bring is fsync(2) of what can be: a pipe or a device holds nothing.
func bring(f *os.File) error {
	if err := f.Sync(); !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.EROFS) {
		return err
	}
	return nil
}

func (s *fileSender) close() {
	if s.file != nil {
		_ = s.file.Close() // nothing is buffered
		s.file = nil
	}
}
