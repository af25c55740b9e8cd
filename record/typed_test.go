package record

import (
	"testing"
	"time"
)

// TestTyped types and shows in turn: "<" is a key, ">" output, and "+" time
// that passes.
func TestTyped(t *testing.T) {
	for name, c := range map[string]struct {
		what []string
		want string
	}{
		"a line editor":          {[]string{"<l", ">l", "<s", ">s", "<\r", ">\r\nfile\r\n$ "}, "ls\r"},
		"typed ahead of it":      {[]string{"<ls", ">l", ">s", "<\r"}, "ls\r"},
		"coloured":               {[]string{"<l", ">\x1b[32ml\x1b[m", "<s", ">\x1b]0;x\x07s"}, "ls"},
		"colour cut in two":      {[]string{"<l", ">\x1b[3", ">2ml"}, "l"},
		"within a line":          {[]string{"<x", ">xyz\b\b"}, "x"},
		"more than one byte":     {[]string{"<€", ">€"}, "€"},
		"asterisks":              {[]string{"<s", ">*", "<e", ">*", "<c", ">*", "<\r", ">\r\nsec\r\n"}, "\r"},
		"asterisks, an asterisk": {[]string{"<s", ">*", "<*", ">*"}, "*"},
		"nothing, then the word": {[]string{"<s", "<e", "<c", "<\r", ">sec"}, "\r"},
		"a number of 4 keys":     {[]string{"<4", "<3", "<2", "<1", ">right: 4321"}, ""},
		"shown too late":         {[]string{"<a", "+", ">a"}, ""},
		"another thing first":    {[]string{"<a", ">-- INSERT --", ">a", "<b", ">b"}, "b"},
		"an arrow":               {[]string{"<\x1b[A", ">ls -la", "<x", ">x"}, "x"},
		"signals":                {[]string{"<sle", ">sle", "<\x03", ">^C"}, "sle\x03"},
		"escape and then a key":  {[]string{"<\x1b", "+", "<P", ">P"}, "P"},
		"a string, and enter":    {[]string{"<\x1bPabc", "<\r", "<x", ">x"}, "\rx"},
	} {
		t.Run(name, func(t *testing.T) {
			var k typed
			now, got := time.Now(), ""
			for _, step := range c.what {
				switch step[0] {
				case '<':
					got += string(k.press([]byte(step[1:]), now))
				case '>':
					got += string(k.show([]byte(step[1:]), now))
				case '+':
					now = now.Add(typedPatience + 1)
				}
			}
			if got != c.want {
				t.Errorf("told %q instead of %q", got, c.want)
			}
		})
	}
}

func FuzzTyped(f *testing.F) {
	f.Add([]byte("ls\x1b[A\r"), []byte("l\x1b[ms"))
	f.Fuzz(func(t *testing.T, keys, shown []byte) {
		var k typed
		now := time.Now()
		if told := k.press(keys, now); len(told) > len(keys) {
			t.Errorf("told %q of %q", told, keys)
		}
		if told := k.show(shown, now); len(told) > min(len(keys), len(shown)) {
			t.Errorf("told %q of %q", told, keys)
		}
	})
}
