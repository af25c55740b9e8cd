package targets

import (
	"strings"
	"testing"
)

func TestSplitAddress(t *testing.T) {
	tests := []struct {
		words          []string
		source, target string
		err            string
	}{
		{[]string{"myhost"}, "", "myhost", ""},
		{[]string{"debug@myhost"}, "debug", "myhost", ""},
		{[]string{"debug", "myhost"}, "debug", "myhost", ""},
		{[]string{"debug", "[::1]:4000"}, "debug", "[::1]:4000", ""},
		{[]string{"a.b_c-9@https://host/x"}, "a.b_c-9", "https://host/x", ""},
		{[]string{"debug", "other@myhost"}, "", "", "twice"},
		{[]string{"Debug@myhost"}, "", "", "not a source"},
		{[]string{"@myhost"}, "", "", "not a source"},
		{[]string{"debug@"}, "", "", "target is empty"},
		{[]string{"debug@-x"}, "", "", "does not start with '-'"},
		{[]string{strings.Repeat("a", 65), "h"}, "", "", "not a source"},
		{[]string{}, "", "", "name one target"},
		{[]string{"a", "b", "c"}, "", "", "name one target"},
	}
	for _, tt := range tests {
		source, target, err := SplitAddress(tt.words...)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%q: error %v, want one with %q", tt.words, err, tt.err)
			}
			continue
		}
		if err != nil || source != tt.source || target != tt.target {
			t.Errorf("%q: %q %q %v, want %q %q", tt.words, source, target, err, tt.source, tt.target)
		}
	}
}

func TestParseHost(t *testing.T) {
	tests := []struct {
		typed string
		port  int
		want  string
		err   string
	}{
		{"myhost", 0, "https://myhost:4000", ""},
		{"MyHost.Example.", 0, "https://myhost.example:4000", ""},
		{"myhost:22", 0, "https://myhost:22", ""},
		{"myhost:22", 23, "https://myhost:23", ""},
		{"myhost", 23, "https://myhost:23", ""},
		{"192.0.2.1", 0, "https://192.0.2.1:4000", ""},
		{"::1", 0, "https://[::1]:4000", ""},
		{"[::1]", 0, "https://[::1]:4000", ""},
		{"[2001:DB8::0:1]:5000", 0, "https://[2001:db8::1]:5000", ""},
		{"[fe80::1%eth0]:5000", 0, "https://[fe80::1%25eth0]:5000", ""},
		{"https://myhost", 0, "https://myhost:443", ""},
		{"HTTPS://myhost/", 0, "https://myhost:443", ""},
		{"https://myhost:4000/team/agent/", 0, "https://myhost:4000/team/agent", ""},
		{"https://[fe80::1%25eth0]:5000", 0, "https://[fe80::1%25eth0]:5000", ""},
		{"http://myhost", 0, "", "https only"},
		{"ssh://myhost", 0, "", "https only"},
		{"my host", 0, "", "not a host"},
		{"myhost:", 0, "", "not a port"},
		{"myhost:0", 0, "", "not a port"},
		{"myhost:+1", 0, "", "not a port"},
		{"myhost:65536", 0, "", "not a port"},
		{"a:b:c", 0, "", "write a host as"},
		{"https://user@myhost", 0, "", "not a host"},
		{"https://myhost/a?b", 0, "", "path prefix"},
		{"https://myhost/a%20b", 0, "", "path prefix"},
		{"https://myhost/a//b", 0, "", "path prefix"},
		{"https://myhost/a/../b", 0, "", "must not contain"},
		{"https://", 0, "", "not a host"},
		{"..", 0, "", "not a host"},
		{"a..b", 0, "", "not a host"},
		{"-x", 0, "", "not a host"},
		{"höst", 0, "", "not a host"},
		{"x\x1b[31m", 0, "", "not a host"},
		{"::1%a/b", 0, "", "not the name of an interface"},
	}
	for _, tt := range tests {
		got, err := ParseHost(tt.typed, tt.port)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%q: %v %v, want an error with %q", tt.typed, got, err, tt.err)
			}
			continue
		}
		if err != nil || got.String() != tt.want {
			t.Errorf("%q port %d: %v %v, want %s", tt.typed, tt.port, got, err, tt.want)
		}
	}
}

// FuzzParseHost checks that a base URL is a fixed point: what known_hosts is
// keyed by reads back as itself.
func FuzzParseHost(f *testing.F) {
	for _, s := range []string{"h", "h:1", "[::1]:2", "https://h/p", "fe80::1%x", "https://[fe80::1%25a]:9/b/c", "A.b."} {
		f.Add(s, 0)
	}
	f.Fuzz(func(t *testing.T, typed string, port int) {
		base, err := ParseHost(typed, port)
		if err != nil {
			return
		}
		if base.Scheme != "https" || base.Port() == "" || base.User != nil || base.RawQuery != "" || base.Fragment != "" {
			t.Fatalf("%q became %v", typed, base)
		}
		text := base.String()
		again, err := ParseHost(text, 0)
		if err != nil || again.String() != text {
			t.Fatalf("%q became %q, which becomes %v, %v", typed, text, again, err)
		}
	})
}

// FuzzSplitAddress checks that what is taken apart can be put together again.
func FuzzSplitAddress(f *testing.F) {
	f.Add("debug@myhost")
	f.Add("myhost")
	f.Add("a@b@c")
	f.Fuzz(func(t *testing.T, word string) {
		source, target, err := SplitAddress(word)
		if err != nil {
			return
		}
		if source == "" && target != word || source != "" && source+"@"+target != word {
			t.Fatalf("%q became %q and %q", word, source, target)
		}
	})
}
