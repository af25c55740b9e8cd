package record_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"shellagent/record"
	"shellagent/shell"
)

// A recording that another image of the agent goes on with is one recording, in
// the middle of a character, too.
func TestResume(t *testing.T) {
	f := newFixture(t)
	path := filepath.Join(t.TempDir(), "x.cast.zst")
	w, err := record.Create(path, header(), f.key, record.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i, piece := range []string{"one \xe2", "\x82", "\xac two"} {
		if err := w.Output(time.Duration(i)*time.Second, shell.FrameStdout, []byte(piece)); err != nil {
			t.Fatal(err)
		}
		st, err := w.State()
		if err != nil {
			t.Fatal(err)
		}
		w.Abandon()
		if w, err = record.Resume(st, f.key, record.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.End(3*time.Second, 0); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got, err := export(t, b, f.known, record.ExportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(got, `"o", "€ two"`) || !strings.HasSuffix(got, "\"x\", \"0\"]\n") {
		t.Errorf("got\n%s", got)
	}
}

func TestResumeRefusesAnotherFile(t *testing.T) {
	f := newFixture(t)
	path := filepath.Join(t.TempDir(), "x.cast.zst")
	w, err := record.Create(path, header(), f.key, record.Options{})
	if err != nil {
		t.Fatal(err)
	}
	st, err := w.State()
	if err != nil {
		t.Fatal(err)
	}
	w.Abandon()
	for what, change := range map[string]func(*record.State){
		"no file":       func(s *record.State) { s.Path += ".gone" },
		"another size":  func(s *record.State) { s.Size++ },
		"no chain":      func(s *record.State) { s.Sum = nil },
		"no number":     func(s *record.State) { s.N = 0 },
		"a long letter": func(s *record.State) { s.Out = []byte("12345") },
	} {
		bad := st
		change(&bad)
		if w, err := record.Resume(bad, f.key, record.Options{}); err == nil {
			w.Abandon()
			t.Errorf("%s: it goes on", what)
		}
	}
}
