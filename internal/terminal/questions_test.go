package terminal

import (
	"bytes"
	"strings"
	"testing"
)

func TestQuestionsAreDropped(t *testing.T) {
	long := "\x1b]52;c;" + strings.Repeat("QUJD", 200) + "?\x07"
	for _, c := range []struct{ name, output, want string }{
		{"text", "a\r\nb\x1b[31mc\x1b[0m\x1b(B\x1b7\x1b8\x1b=", "a\r\nb\x1b[31mc\x1b[0m\x1b(B\x1b7\x1b8\x1b="},
		{"where and what", "a\x1b[6nb\x1b[?6n\x1b[c\x1b[>c\x1b[>0c\x1bZ\x05c", "abc"},
		{"modes", "\x1b[?2026$p\x1b[4$p\x1b[!p", "\x1b[!p"},
		{"version and keys", "\x1b[>q\x1b[2 q\x1b[?u\x1b[u", "\x1b[2 q\x1b[u"},
		{"colours", "\x1b]11;?\x07\x1b]11;?\x1b\\\x1b]0;title\x07", "\x1b]0;title\x07"},
		{"settings", "\x1bP$q q\x1b\\\x1bP+q544e\x1b\\", ""},
		{"what vim does as it starts", "\x1b[?1049h\x1b[22;0;0t\x1b[1;1H\xce\xa9\x1b[6n\x1b[2;1H\x1bPzz\x1b\\\x1b[0%m\x1b[6n", "\x1b[?1049h\x1b[1;1H\xce\xa9\x1b[2;1H\x1bPzz\x1b\\\x1b[0%m"},
		{"a string too long to ask", long + "x", long + "x"},
		{"a sequence begun anew", "\x1b[1\x1b[6n.\x1b\x1b[6n[6n\x1b]0;a\x1b[6nb", ".[6nb"},
		{"a sequence given up", "\x1b[6\x18n\x1b]0\x1an", "\x1b[6\x18n\x1b]0\x1an"},
	} {
		for n := 1; n <= len(c.output); n++ {
			var q Questions
			var got []byte
			for rest := []byte(c.output); len(rest) > 0; rest = rest[min(n, len(rest)):] {
				got = q.Drop(got, rest[:min(n, len(rest))])
			}
			if string(got) != c.want || len(q.held) != 0 {
				t.Fatalf("%s, in pieces of %d: %q, %q held", c.name, n, got, q.held)
			}
		}
	}
	var q Questions
	if got := q.Drop(nil, []byte("a\x1b[6")); string(got) != "a" || string(q.held) != "\x1b[6" {
		t.Errorf("%q, %q held", got, q.held)
	}
}

// FuzzQuestions checks that pieces change nothing, that what is left asks
// nothing, and that little is held.
func FuzzQuestions(f *testing.F) {
	f.Add([]byte("a\x1b[6n\x1b]11;?\x07\x1bP$qm\x1b\\\x1bZ"), uint8(4))
	f.Fuzz(func(t *testing.T, output []byte, at uint8) {
		var whole, parts, again Questions
		cut := min(int(at), len(output))
		got := whole.Drop(nil, output)
		if split := parts.Drop(parts.Drop(nil, output[:cut]), output[cut:]); !bytes.Equal(got, split) {
			t.Fatalf("%q whole, %q in parts", got, split)
		}
		if len(whole.held) > maxQuestion {
			t.Fatalf("%d bytes held", len(whole.held))
		}
		if left := append(again.Drop(nil, got), again.held...); !bytes.Equal(left, got) {
			t.Fatalf("%q asks something: %q is left", got, left)
		}
	})
}
