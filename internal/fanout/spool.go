package fanout

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

const (
	// spoolMemory is how much of a target's output is kept in memory, in bytes; the
	// rest goes to a file.
	spoolMemory = 256 << 10
	// MaxSpool bounds what is kept of one target's output, in bytes.
	MaxSpool = 1 << 30

	recordHead = 5 // stream, length
)

// ErrSpool says that a target printed more than is kept of it.
var ErrSpool = fmt.Errorf("more than %d MiB of output; only lines (without --group) can be shown of so much", MaxSpool>>20)

// spool keeps the output of one target, in memory and beyond that in a file that
// has no name. It is for one goroutine.
type spool struct {
	mem  []byte
	file *os.File
	name string // of a file that could not be removed while it is open
	size int64
}

// add keeps a piece. It fails with [ErrSpool] when that would be too much.
func (s *spool) add(from Stream, p []byte) error {
	if s.size+int64(len(p)) > MaxSpool {
		return ErrSpool
	}
	s.size += int64(len(p))
	for len(p) > 0 {
		n := min(len(p), spoolMemory/2)
		if len(s.mem)+recordHead+n > spoolMemory {
			if err := s.spill(); err != nil {
				return err
			}
		}
		s.mem = append(s.mem, byte(from))
		s.mem = binary.BigEndian.AppendUint32(s.mem, uint32(n))
		s.mem = append(s.mem, p[:n]...)
		p = p[n:]
	}
	return nil
}

func (s *spool) spill() error {
	if s.file == nil {
		f, err := os.CreateTemp("", "agent-exec-*")
		if err != nil {
			return fmt.Errorf("keep output: %w", err)
		}
		if err := os.Remove(f.Name()); err != nil {
			s.name = f.Name()
		}
		s.file = f
	}
	if _, err := s.file.Write(s.mem); err != nil {
		return fmt.Errorf("keep output: %w", err)
	}
	s.mem = s.mem[:0]
	return nil
}

// replay gives each what was kept, in order. A piece is valid until the next.
func (s *spool) replay(each func(from Stream, p []byte) error) error {
	in := io.Reader(bytes.NewReader(s.mem))
	if s.file != nil {
		if _, err := s.file.Seek(0, io.SeekStart); err != nil {
			return fmt.Errorf("read the output that was kept: %w", err)
		}
		in = io.MultiReader(bufio.NewReaderSize(s.file, 64<<10), in)
	}
	var head [recordHead]byte
	buf := make([]byte, 0, spoolMemory/2)
	for {
		_, err := io.ReadFull(in, head[:])
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			buf = buf[:binary.BigEndian.Uint32(head[1:])]
			_, err = io.ReadFull(in, buf)
		}
		if err != nil {
			return fmt.Errorf("read the output that was kept: %w", err)
		}
		if err := each(Stream(head[0]), buf); err != nil {
			return err
		}
	}
}

// close forgets everything.
func (s *spool) close() {
	s.mem = nil
	if s.file == nil {
		return
	}
	s.file.Close()
	if s.name != "" {
		_ = os.Remove(s.name)
	}
}
