package audit

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Tail reads a trail's lines in their order, while it grows, from a line on. It is
// for one goroutine at a time.
type Tail struct {
	dir    string
	next   uint64 // line
	path   string // the file that it is in; "" when that is not known
	offset int64
}

// NewTail begins with the line of a number, or with the oldest that is kept; with
// that one too if the trail ends before the number, which is another trail's then.
func NewTail(dir string, next uint64) *Tail { return &Tail{dir: dir, next: max(next, 1)} }

// Next is the number of the line that is read next.
func (t *Tail) Next() uint64 { return t.next }

// Read returns the next lines, at most n of them and about size bytes, none at
// the end. missed is how many lines before them were not there any more.
func (t *Tail) Read(n, size int) (lines []Entry, missed uint64, err error) {
	files, err := Files(t.dir)
	if errors.Is(err, os.ErrNotExist) || err == nil && len(files) == 0 {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	at := t.find(files)
	for ; at < len(files); at++ {
		first, _ := firstLine(filepath.Base(files[at]))
		if t.next < first {
			// The end of an older file is where the next begins; more than that is a gap.
			missed += first - t.next
			t.next = first
		}
		if files[at] != t.path {
			t.path, t.offset = files[at], 0
			left, err := t.skip(t.next - first)
			if err != nil {
				return nil, missed, err
			}
			if left > 0 { // the lines that come would have numbers that it passed
				t.next, _ = firstLine(filepath.Base(files[0]))
				t.path = ""
				return t.Read(n, size)
			}
		}
		if lines, err = t.readFile(n, size); err != nil || len(lines) > 0 {
			return lines, missed, err
		}
	}
	return nil, missed, nil
}

// find returns the file that has the next line, or will have it.
func (t *Tail) find(files []string) int {
	at := 0
	for i, path := range files {
		if first, _ := firstLine(filepath.Base(path)); first <= t.next {
			at = i
		}
	}
	return at
}

// skip goes behind n lines of the file; left is how many it lacks.
func (t *Tail) skip(n uint64) (left uint64, err error) {
	if n == 0 {
		return 0, nil
	}
	err = t.each(func(raw []byte) (more bool, err error) {
		t.offset += int64(len(raw))
		n--
		return n > 0, nil
	})
	return n, err
}

func (t *Tail) readFile(n, size int) (lines []Entry, err error) {
	err = t.each(func(raw []byte) (bool, error) {
		e, err := parseEntry(append([]byte(nil), raw[:len(raw)-1]...))
		if err != nil {
			return false, fmt.Errorf("%s at byte %d: %w", t.path, t.offset, err)
		}
		lines = append(lines, e)
		t.offset += int64(len(raw))
		t.next = e.Number + 1
		size -= len(raw)
		return len(lines) < n && size > 0, nil
	})
	if len(lines) > 0 {
		err = nil // it is met again
	}
	return lines, err
}

// each calls do for whole lines from the offset on.
func (t *Tail) each(do func(raw []byte) (more bool, err error)) error {
	f, err := os.Open(t.path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Seek(t.offset, io.SeekStart); err != nil {
		return err
	}
	for r := bufio.NewReaderSize(f, maxEvent+4096); ; {
		raw, err := r.ReadSlice('\n')
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s at byte %d: %w", t.path, t.offset, errors.Join(ErrLine, err))
		}
		if more, err := do(raw); err != nil || !more {
			return err
		}
	}
}

// Sync has the disk hold every line that was read. Who writes down how far it read
// asks for this before: after a loss of power the trail would give other lines the
// numbers of those that the disk did not hold yet.
func (t *Tail) Sync() error {
	if t.path == "" {
		return nil
	}
	f, err := os.Open(t.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil // removed, as the oldest
	}
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Backlog is how many bytes are not read yet. It may be called by others: it
// goes by where the tail was, a file and an offset of [Tail.Place].
func Backlog(dir, file string, offset int64) int64 {
	files, err := Files(dir)
	if err != nil {
		return 0
	}
	var total int64
	for _, path := range files {
		info, err := os.Stat(path)
		switch {
		case err != nil || path < file:
		case path == file:
			total += max(info.Size()-offset, 0)
		default:
			total += info.Size()
		}
	}
	return total
}

// Place is the file that the tail is in, "" before the first line, and the
// offset there.
func (t *Tail) Place() (file string, offset int64) { return t.path, t.offset }
