package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

type limits struct {
	IdleTimeout time.Duration  `json:"idleTimeout"`
	Linger      *time.Duration `json:"linger"`
	MaxSessions int            `json:"maxSessions"`
	KillOnExit  *bool          `json:"killOnExit"`
}

type source struct {
	limits
	Shell string            `json:"shell"`
	Env   map[string]string `json:"env"`
	Keys  []string          `json:"verifyKeys"`
}

type example struct {
	StateDir string            `json:"stateDir"`
	Sources  map[string]source `json:"sources"`
	Rate     float64           `json:"rate"`
}

func TestDecodeReadsCommentsTrailingCommasAndDurations(t *testing.T) {
	const text = "\xef\xbb\xbf" + `// a comment
	{
	  /* another */
	  "stateDir": "/var/lib/x", // and one more
	  "sources": {"debug": {"shell": "/bin/bash", "idleTimeout": "90s", "linger": 0.5, "killOnExit": false, "verifyKeys": ["a",],},},
	}
	// last, without a newline`
	var got example
	f, err := Decode("x.json", []byte(text), &got)
	if err != nil {
		t.Fatal(err)
	}
	debug := got.Sources["debug"]
	if got.StateDir != "/var/lib/x" || debug.Shell != "/bin/bash" || debug.IdleTimeout != 90*time.Second ||
		*debug.Linger != 500*time.Millisecond || *debug.KillOnExit || len(debug.Keys) != 1 {
		t.Errorf("decoded %+v", got)
	}
	if f.Name() != "x.json" {
		t.Errorf("Name() = %q", f.Name())
	}
}

func TestDecodeSaysWhereAndHowToMend(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"unknown key", "{\n  \"statDir\": \"/x\"\n}", `x.json:2:3: unknown key "statDir"; did you mean "stateDir"?`},
		{"unknown key in another case", "{\"StateDir\": \"/x\"}", `x.json:1:2: unknown key "StateDir"; did you mean "stateDir"?`},
		{"unknown key below", "{\"sources\": {\"debug\": {\n\t\"idle_timeout\": 3}}}", `x.json:2:2: unknown key "idle_timeout"; did you mean "idleTimeout"?`},
		{"unknown key like none", `{"color": 1}`, `x.json:1:2: unknown key "color"; known here: rate, sources, stateDir`},
		{"duplicate key", "{\"rate\": 1,\n \"rate\": 2}", `x.json:2:2: "rate" is given twice; keep one`},
		{"number for string", `{"stateDir": 7}`, `x.json:1:14: "stateDir" must be a string, not a number; put it in double quotes`},
		{"string for object", `{"sources": "debug"}`, `x.json:1:13: "sources" must be an object, not a string; write { } with its keys`},
		{"string for list", `{"sources": {"a": {"verifyKeys": "k"}}}`, `x.json:1:34: "verifyKeys" must be a list, not a string; put it in [ ]`},
		{"string for bool", `{"sources": {"a": {"killOnExit": "no"}}}`, `x.json:1:34: "killOnExit" must be true or false, not a string; write true or false without quotes`},
		{"fraction for int", `{"sources": {"a": {"maxSessions": 1.5}}}`, `x.json:1:35: "maxSessions" must be a whole number within its range, not 1.5; correct it`},
		{"bad span", `{"sources": {"a": {"linger": "5 minutes"}}}`, `x.json:1:30: "5 minutes" is not a time span; write "90s", "15m", "8h", or a number of seconds`},
		{"span too long", `{"sources": {"a": {"linger": 1e300}}}`, `x.json:1:30: 1e300 is not a time span; write "90s", "15m", "8h", or a number of seconds`},
		{"span of another kind", `{"sources": {"a": {"linger": [1]}}}`, `x.json:1:30: a list or an object is not a time span; write "90s", "15m", "8h", or a number of seconds`},
		{"null", "{\"sources\":\n  null}", `x.json:2:3: null sets nothing; leave the key out for its default`},
		{"missing comma", "{\n \"rate\": 1\n \"stateDir\": \"\"}", `x.json:3:2: invalid character '"' after object value (expecting ',' or '}'); look for a comma, colon, quote or bracket missing before it`},
		{"columns are characters", "{\"rate\": 1, /* ééé */ \"stat\": \"\"}", `x.json:1:23: unknown key "stat"; known here: rate, sources, stateDir`},
		{"early end", "{\n \"rate\": 1,\n", `x.json:2:12: the file ends too early; close what is open: a string, a comment, } or ]`},
		{"a second value", "{}\n{}", `x.json:2:1: invalid character '{' after top-level value; look for a comma, colon, quote or bracket missing before it`},
		{"empty", " \n", `x.json:1:1: the file is empty; write {} for no settings`},
		{"not UTF-8", "{\"stateDir\": \"\xff\"}", `x.json:1:15: not UTF-8; save the file as UTF-8`},
		{"a list as file", "[]", `x.json:1:1: the file must be an object, not a list; write { } with its keys`},
		{"too deep", strings.Repeat("[", 100), `x.json:1:65: nested deeper than 64 levels; flatten it`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Decode("x.json", []byte(tt.text), new(example))
			if err == nil || err.Error() != tt.want {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

func TestBracketsInStringsAndCommentsDoNotNest(t *testing.T) {
	many := strings.Repeat("[{", 200)
	text := "{ // " + many + "\n/* " + many + " */ \"stateDir\": \"\\\"" + many + "\"}"
	if _, err := Decode("x", []byte(text), new(example)); err != nil {
		t.Error(err)
	}
}

func TestDecodeRefusesALargeFile(t *testing.T) {
	_, err := Decode("x", make([]byte, MaxSize+1), new(example))
	if err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("got %v", err)
	}
}

func TestReadNamesAMissingFileAndRefusesWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	if _, err := Read(filepath.Join(dir, "none.json"), new(example)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	if _, err := Read(dir, new(example)); err == nil || !strings.Contains(err.Error(), "not a plain file") {
		t.Errorf("directory: %v", err)
	}
	large := filepath.Join(dir, "large.json")
	if err := os.WriteFile(large, make([]byte, MaxSize+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(large, new(example)); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("large file: %v", err)
	}
}

func TestAtFindsTheNearestValue(t *testing.T) {
	f, err := Decode("x", []byte("{\n \"sources\": {\n  \"a/b\": {\"shell\": \"x\", \"verifyKeys\": [\"k0\", \"k1\"]}}}"), new(example))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		pointer      string
		line, column int
	}{
		{"", 1, 1},
		{"/sources", 2, 13},
		{"/sources/a~1b/shell", 3, 20},
		{"/sources/a~1b/verifyKeys/1", 3, 46},
		{"/sources/a~1b/verifyKeys/7", 3, 39},
		{"/sources/a~1b/exec/user", 3, 10},
		{"/nothing/here", 1, 1},
		{"no pointer", 1, 1},
	}
	for _, tt := range tests {
		if line, column := f.At(tt.pointer); line != tt.line || column != tt.column {
			t.Errorf("At(%q) = %d:%d, want %d:%d", tt.pointer, line, column, tt.line, tt.column)
		}
	}
}
