package cli

import (
	"os"
	"path/filepath"
	"testing"
)

// TestLookAt: what standard input will come to is known without reading it.
func TestLookAt(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	name := filepath.Join(t.TempDir(), "input")
	if err := os.WriteFile(name, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	pipe := func(text string, closed bool) *os.File {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close(); w.Close() })
		w.WriteString(text)
		if closed {
			w.Close()
		}
		return r
	}
	for _, c := range []struct {
		name string
		in   *os.File
		want inputState
	}{
		{"no file", nil, inputLater},
		{"/dev/null", null, inputNone},
		{"a file", file, inputReady},
		{"a pipe that somebody may write to", pipe("", false), inputLater},
		{"a pipe with text", pipe("text", false), inputReady},
		{"a pipe with text and an end", pipe("text", true), inputReady},
		{"a pipe that is over", pipe("", true), inputNone},
	} {
		if got := lookAt(c.in); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}
