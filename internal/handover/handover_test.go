package handover

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

type greeting struct {
	Name  string
	Count int
}

// written is a state with a value and two records of bytes.
func written(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := newWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		w.JSON(greeting{"hello", 3}), w.Bytes([]byte("one "), nil, []byte("record")), w.Bytes(), w.end(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func open(state []byte) (*Reader, error) { return newReader(bytes.NewReader(state), int64(len(state))) }

// readAll reads what written wrote.
func readAll(r *Reader) error {
	var g greeting
	if err := r.JSON(&g, 100); err != nil {
		return err
	}
	b, err := r.Bytes(100)
	if err != nil {
		return err
	}
	if g != (greeting{"hello", 3}) || string(b) != "one record" {
		return errors.New("something else was read")
	}
	if err := r.Skip(); err != nil {
		return err
	}
	return r.End()
}

func TestRoundTrip(t *testing.T) {
	r, err := open(written(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := readAll(r); err != nil || r.Version() != Version {
		t.Errorf("version %d, %v", r.Version(), err)
	}
}

func TestSealed(t *testing.T) {
	w, err := Create()
	if err != nil {
		t.Fatal(err)
	}
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	if err := w.Bytes(big); err != nil {
		t.Fatal(err)
	}
	f, err := w.Seal()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("x"), 40); err == nil {
		t.Error("a sealed state was written to")
	}
	if err := f.Truncate(10); err == nil {
		t.Error("a sealed state was cut")
	}
	for range 2 { // one does not take it from the other
		r, err := Open(f)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := r.Bytes(1 << 20); err != nil || !bytes.Equal(got, big) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	}
}

func TestOpenRefusesOtherFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	if err := os.WriteFile(path, written(t), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := Open(f); !errors.Is(err, ErrDamaged) {
		t.Errorf("a file that anybody may write: %v", err)
	}
	w, err := Create()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Discard()
	if _, err := Open(w.file); !errors.Is(err, ErrDamaged) {
		t.Errorf("a file that is not sealed: %v", err)
	}
}

// Any one bit that changes is noticed, and so is every cut.
func TestDamage(t *testing.T) {
	good := written(t)
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1 << (i % 8)
		if _, err := open(bad); !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrVersion) {
			t.Errorf("byte %d changed: %v", i, err)
		}
		if _, err := open(good[:i]); !errors.Is(err, ErrDamaged) {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
}

func TestUnknownVersion(t *testing.T) {
	state := written(t)
	binary.BigEndian.PutUint32(state[len(magic):], Version+1)
	if _, err := open(state); !errors.Is(err, ErrVersion) {
		t.Errorf("got %v", err)
	}
}

func TestRecordsInAnotherOrder(t *testing.T) {
	for name, read := range map[string]func(*Reader) error{
		"bytes for a value":   func(r *Reader) error { _, err := r.Bytes(100); return err },
		"over the limit":      func(r *Reader) error { return r.JSON(&greeting{}, 10) },
		"an unknown field":    func(r *Reader) error { return r.JSON(&struct{ Name string }{}, 100) },
		"another type":        func(r *Reader) error { return r.JSON(&struct{ Name, Count string }{}, 100) },
		"too early an end":    func(r *Reader) error { return r.End() },
		"more than there are": func(r *Reader) error { return errors.Join(readAll(r), r.Skip()) },
	} {
		r, err := open(written(t))
		if err != nil {
			t.Fatal(err)
		}
		if err := read(r); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzReader reads states whose checksum is right and whose records are anything.
func FuzzReader(f *testing.F) {
	good := written(f)
	f.Add(good[prefixSize : len(good)-endSize])
	f.Add([]byte{byte(kindBytes), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, records []byte) {
		var b bytes.Buffer
		w, err := newWriter(&b)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.out.Write(records); err != nil {
			t.Fatal(err)
		}
		if err := w.end(); err != nil {
			t.Fatal(err)
		}
		r, err := open(b.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		_ = readAll(r)
		if r.left < 0 {
			t.Errorf("%d bytes are left", r.left)
		}
	})
}
