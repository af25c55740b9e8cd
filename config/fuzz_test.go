package config

import (
	"bytes"
	"errors"
	"testing"
	"unicode/utf8"
)

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"sources": {"debug": {"exec": {"group": "operator", "user": "operator",}, "shell": "/bin/bash",},}}`,
		"// c\n{\"stateDir\": \"\\u00e9\", /* x */ \"rate\": 1e9,}", `{"statedir": 1}`, `{"rate": 1, "rate": 2}`,
		"{\"a\xff\": 1}", `{"sources": {"": {"linger": "1h", "env": {"A": "B"}}}}`, "[[[[", "{\"sources\":{\"a\":", "\xef\xbb\xbf{}", "/*", "//", `{"x": null}`, `"\ud800"`,
		"{\r\n\"stateDir\"\r\n: 1}", `{"sources":{"a/b~c":{"shell":3}}}`,
	} {
		f.Add([]byte(seed), "/sources/a")
	}
	f.Fuzz(func(t *testing.T, text []byte, pointer string) {
		original := bytes.Clone(text)
		file, err := Decode("f", text, new(example))
		if !bytes.Equal(original, text) {
			t.Fatal("the caller's text was changed")
		}
		if err == nil {
			line, column := file.At(pointer)
			checkPlace(t, text, line, column)
			return
		}
		var placed *Error
		if !errors.As(err, &placed) {
			t.Fatalf("no place: %v", err)
		}
		if placed.Line != 0 {
			checkPlace(t, text, placed.Line, placed.Column)
		}
	})
}

// checkPlace fails unless the place is a character of text or the end of one of
// its lines.
func checkPlace(t *testing.T, text []byte, line, column int) {
	t.Helper()
	lines := bytes.Split(text, []byte("\n"))
	if line < 1 || line > len(lines) {
		t.Fatalf("line %d of %d", line, len(lines))
	}
	if n := utf8.RuneCount(lines[line-1]); column < 1 || column > n+1 {
		t.Fatalf("column %d of %d in line %d", column, n, line)
	}
}

func FuzzDistance(f *testing.F) {
	f.Add("verifyKeys", "verifykey")
	f.Fuzz(func(t *testing.T, a, b string) {
		d := distance(a, b)
		if d != distance(b, a) || (d == 0) != (a == b) && max(len(a), len(b)) <= 64 {
			t.Fatalf("distance(%q, %q) = %d", a, b, d)
		}
	})
}
