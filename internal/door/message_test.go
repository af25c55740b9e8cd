package door

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
)

func TestRequests(t *testing.T) {
	for _, c := range []struct {
		line, want string // of the error; "" for none
	}{
		{`{"version":1,"status":{}}`, ""},
		{`{"version":1,"reload":{"config":"/etc/a.json","confirmMs":60000}}`, ""},
		{`{"version":1,"kill":{"subject":"alice","source":"debug"}}`, ""},
		{`{"version":1,"kill":{"all":true}}`, ""},
		{`{"version":1,"rotate":{"step":"finish"}}`, ""},
		{`{"version":1,"status":{},"sessions":{}}`, "one thing, not 2"},
		{`{"version":1,"status":{"x":1}}`, "cannot be read"},
		{`{"version":1,"Status":{}}`, "cannot be read"},
		{`{"version":1,"status":{},"status":{}}`, "cannot be read"},
		{`{"version":1,"status":{}} {}`, "cannot be read"},
		{`{"version":1,"reload":{"config":"agent.json"}}`, "absolute path"},
		{`{"version":1,"reload":{"config":"/a","confirmMs":-1}}`, "from 1s to 24h"},
		{`{"version":1,"reload":{"config":"/a","confirmMs":999}}`, "from 1s to 24h"},
		{`{"version":1,"reload":{"config":"/a","confirmMs":9223372036854775807}}`, "from 1s to 24h"},
		{`{"version":1,"kill":{"all":true,"subject":"alice"}}`, "which sessions"},
		{`{"version":1,"kill":{"key":"` + strings.Repeat("x", 300) + `"}}`, "too long"},
		{`{"version":1,"rotate":{"step":"begin now"}}`, "no step"},
	} {
		_, err := parseRequest([]byte(c.line))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.line, err, c.want)
		}
	}
}

func FuzzParseRequest(f *testing.F) {
	for _, seed := range []string{
		`{"version":1,"status":{}}`, `{"version":1,"reload":{"config":"/etc/shellagent/agent.json","confirmMs":60000}}`,
		`{"version":1,"kill":{"subject":"alice","key":"k","source":"debug","session":"abcd"}}`, `{"version":1,"sessions":{}}`,
		`{"version":1,"rotate":{"step":"abort"}}`, `{"version":1,"kill":null,"status":{}}`, "", "{", `{"version":1e0,"status":{}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := parseRequest(line)
		if err != nil {
			return
		}
		text, err := encodeRequest(r)
		if err != nil {
			if len(line) < MaxRequest/8 { // invalid bytes grow as they are escaped
				t.Fatalf("%q was read and cannot be written: %v", line, err)
			}
			return
		}
		again, err := parseRequest(bytes.TrimSuffix(text, []byte("\n")))
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Fatalf("%q became %q: %v", line, text, err)
		}
	})
}

func FuzzParseAnswer(f *testing.F) {
	f.Add([]byte(`{"version":1,"result":{"pid":1}}`))
	f.Add([]byte(`{"version":1,"error":"no"}`))
	f.Add(encodeAnswer(map[string]int{"a": 1}, nil))
	f.Fuzz(func(t *testing.T, line []byte) {
		var into struct{ PID int }
		_ = parseAnswer(line, &into)
	})
}
