package sink

import (
	"context"
	"errors"
	"os"

	"shellagent/audit"
)

// fileSender appends to a file, which may be moved away under it: logrotate's
// create and move both work without a signal.
type fileSender struct {
	path string
	file *os.File
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
		s.close()
	}
	f, err := os.OpenFile(s.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	s.file = f
	return nil
}

func (s *fileSender) close() {
	if s.file != nil {
		_ = s.file.Close() // nothing is buffered
		s.file = nil
	}
}
