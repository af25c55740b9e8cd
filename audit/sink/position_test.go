package sink

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"shellagent/audit"
)

// A trail that lost its end with the machine's power gives new lines the numbers
// of the lost ones.
func TestTrailThatEndsBeforeThePosition(t *testing.T) {
	tr := newTrail(t, audit.Options{})
	path := filepath.Join(tr.dir, "out")
	tr.add(0, 5)
	if err := writePosition(tr.dir, "file", tr.Link().N+20); err != nil {
		t.Fatal(err)
	}
	tr.apply(Config{Type: TypeFile, Path: path})
	tr.awaitAll()
	tr.add(5, 10)
	tr.awaitAll()
	tr.wholeAndInOrder(linesOf(t, path))
}

func TestPositionCountsOnlyWhatTheDiskHolds(t *testing.T) {
	tr := newTrail(t, audit.Options{})
	tr.add(0, 5)
	next, err := tr.set.readAll(t, nil, errors.New("a disk that fails"))
	if err != nil || next != 0 {
		t.Errorf("the trail is not on the disk: position %d, %v", next, err)
	}
	if next, err = tr.set.readAll(t, errors.New("a disk that fails"), nil); err == nil || next != 0 {
		t.Errorf("what was taken is not on the disk: position %d, %v", next, err)
	}
	if next, err = tr.set.readAll(t, nil, nil); err != nil || next != tr.Link().N+1 {
		t.Errorf("all is on the disk: position %d, %v", next, err)
	}
}

// readAll has a sink take the trail's lines once, on disks that fail; it returns
// the position that is written down and why what was taken is sent again.
func (s *Set) readAll(t *testing.T, sender, trail error) (next uint64, err error) {
	t.Helper()
	to := &takesAll{err: sender}
	d := &delivery{
		cfg: Config{Name: "x", Batch: 100}, log: s.log, dir: s.dir, sender: to, tail: audit.NewTail(s.dir, 0),
		syncTrail: func() error { return trail },
	}
	if more, err := d.step(t.Context()); err != nil || !more {
		t.Fatalf("%v %v", more, err)
	}
	if err = d.persist(0); err != nil {
		if more, err := d.step(t.Context()); err != nil || !more || to.taken != 2*6 {
			t.Errorf("%d lines sent, %v %v", to.taken, more, err)
		}
	}
	next, readErr := readPosition(s.dir, "x")
	if readErr != nil {
		t.Fatal(readErr)
	}
	return next, err
}

type takesAll struct {
	taken int
	err   error
}

func (s *takesAll) send(_ context.Context, lines []audit.Entry) (outcome, error) {
	s.taken += len(lines)
	return outcome{done: len(lines)}, nil
}
func (s *takesAll) sync() error { return s.err }
func (s *takesAll) close()      {}

// What is no file takes lines too, and need not hold them.
func TestFileSenderSyncs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	for _, path := range []string{path, "/dev/null"} {
		s := &fileSender{path: path}
		if _, err := s.send(t.Context(), []audit.Entry{{Raw: []byte("x")}}); err != nil || !s.dirty {
			t.Fatal(err)
		}
		if err := s.sync(); err != nil || s.dirty {
			t.Errorf("%s: %v", path, err)
		}
		s.close()
	}
	s := &fileSender{path: path}
	if _, err := s.send(t.Context(), []audit.Entry{{Raw: []byte("x")}}); err != nil {
		t.Fatal(err)
	}
	_ = s.file.Close() // a disk that fails
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := s.open(); err != nil {
		t.Fatal(err)
	}
	if err := s.sync(); err == nil {
		t.Error("the file that was moved away is taken for held")
	}
	s.close()
}
