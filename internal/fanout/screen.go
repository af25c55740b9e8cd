package fanout

import (
	"io"
	"sync"
)

// Stream is one of the two that a program writes to.
type Stream byte

// The streams of a program.
const (
	Stdout Stream = 'o'
	Stderr Stream = 'e'
)

func (s Stream) String() string {
	if s == Stderr {
		return "stderr"
	}
	return "stdout"
}

// Screen is where everything is written: whole pieces, one after the other. On a
// terminal the last line may be a status, which goes away for whatever else is
// written. It is safe for concurrent use.
type Screen struct {
	mu     sync.Mutex
	out    io.Writer
	err    io.Writer
	status string // stands there
	failed error
	silent bool // nobody reads standard error
	broken func(error) bool
}

// NewScreen returns a screen over this program's own streams. broken reports
// whether an error of writing means that the reader is gone: of standard error
// that is no reason to end anything.
func NewScreen(out, err io.Writer, broken func(error) bool) *Screen {
	return &Screen{out: out, err: err, broken: broken}
}

// eraseLine takes the status away: to the first column, and what follows (ECMA-48 EL).
const eraseLine = "\r\x1b[K"

// write writes a piece, whole. An error is that of the first write that failed.
func (s *Screen) write(to Stream, p []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.put(to, p)
}

// put is write with s.mu held.
func (s *Screen) put(to Stream, p []byte) error {
	if s.failed != nil || len(p) == 0 {
		return s.failed
	}
	s.erase()
	w := s.out
	if to == Stderr {
		if s.silent {
			return nil
		}
		w = s.err
	}
	_, err := w.Write(p)
	switch {
	case err == nil:
	case to == Stderr && s.broken(err):
		s.silent = true
	default:
		s.failed = err
	}
	return s.failed
}

// Status shows a line that goes away by itself; an empty one takes it away.
func (s *Screen) Status(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if text == s.status {
		return
	}
	s.erase()
	if text == "" || s.silent {
		return
	}
	s.status = text
	_, _ = io.WriteString(s.err, text)
}

func (s *Screen) erase() {
	if s.status != "" {
		s.status = ""
		_, _ = io.WriteString(s.err, eraseLine)
	}
}

// Messages is standard error for what is said about the targets, also of what
// cannot be written.
func (s *Screen) Messages() io.Writer { return messages{s} }

type messages struct{ *Screen }

// Write implements [io.Writer].
func (m messages) Write(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.erase()
	return m.err.Write(p)
}
