package drain

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func linesOf(pieces ...string) []string {
	var l Lines
	var got []string
	for _, p := range pieces {
		l.Write([]byte(p), func(line string) { got = append(got, line) })
	}
	l.End(func(line string) { got = append(got, line) })
	return got
}

func TestLines(t *testing.T) {
	for in, want := range map[string][]string{
		"":                              nil,
		"one\r\ntwo\n\nfour":            {"one", "two", "", "four"},
		"10%\r 50%\r100%\n":             {"100%"},
		"long text\rshort\n":            {"shorttext"}, // as a terminal shows it
		"abc\b\bX\n":                    {"aXc"},
		"secre\b\b\b\b\b\x1b[Kpublic\n": {"public"},
		"\x1b[31mred\x1b[0m and \x1b[1;38;5;9mbold":                        {"red and bold"},
		"\x1b]0;title\x07text\n\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\\n": {"text", "link"},
		"\x1bP1$r0m\x1b\\after":                                            {"after"},
		"a\tb\n":                                                           {"a       b"},
		"user@host:~$ lsx\b\x1b[K\n":                                       {"user@host:~$ ls"},
		"12345\x1b[3D_\x1b[1@+\n":                                          {"12_+45"},
		"12345\r\x1b[2P\n":                                                 {"345"},
		"12345\x1b[2G\x1b[1K\x1b[2Xx\n":                                    {" x 45"},
		"status\x1b[2J\x1b[1;1Htop\x1b[5;1Hline five":                      {"status", "top", "line five"},
		"prompt\x1b[?1049heditor\x1b[?1049lprompt":                         {"prompt", "editor", "prompt"},
		"\x1b(Bplain\x1b=\x1b>\x0f\x00\n":                                  {"plain"},
		"\xff\xfe\n":                                                       {"\ufffd\ufffd"},
		"\x1b]0;never ended\nnext\n":                                       {"", "next"},
		"trailing   \r\n":                                                  {"trailing"},
	} {
		if got := linesOf(in); !slices.Equal(got, want) {
			t.Errorf("%q:\ngot  %q\nwant %q", in, got, want)
		}
		// However it is cut.
		var single []string
		for i := range len(in) {
			single = append(single, in[i:i+1])
		}
		if got := linesOf(single...); !slices.Equal(got, want) {
			t.Errorf("%q, byte by byte:\ngot  %q\nwant %q", in, got, want)
		}
	}
	long := strings.Repeat("ü", 3*maxLine)
	if got := linesOf(long + "\nx\n"); len(got) != 4 || strings.Join(got[:3], "") != long || got[3] != "x" {
		t.Errorf("%d lines", len(got))
	}
	// No column lies beyond the longest line's last one.
	if got, want := linesOf(strings.Repeat("x", maxLine)+"\t.\n"), []string{strings.Repeat("x", maxLine), "."}; !slices.Equal(got, want) {
		t.Errorf("a tab at the longest line's end: %d lines", len(got))
	}
}

func FuzzLines(f *testing.F) {
	f.Add([]byte("a\x1b[3;4Hb\x1b[9999999999999999@\r\n"))
	f.Add([]byte("\x1b]\x1b[1P\x9b\xc2"))
	f.Add([]byte(strings.Repeat("x", maxLine) + "\t\t\t.\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		var l Lines
		check := func(line string) {
			if !utf8.ValidString(line) || utf8.RuneCountInString(line) > maxLine || strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r == 0x7f }) {
				t.Errorf("%q", line)
			}
		}
		l.Write(in, check)
		l.End(check)
		if cap(l.params) > 2*maxEscape || len(l.cells) != 0 {
			t.Error("not bounded")
		}
	})
}

// A few bytes that insert blanks cost no more than the line that is there anyway.
func TestInsertedBlanksAreFree(t *testing.T) {
	var l Lines
	none := func(string) {}
	l.Write([]byte(strings.Repeat("x", maxLine)+"\r"), none)
	insert := []byte("\x1b[4000@\x1b[1C")
	if n := testing.AllocsPerRun(100, func() { l.Write(insert, none) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	for _, c := range []struct {
		column, n int
		want      string
	}{
		{0, 1, " abcd"}, {2, 1, "ab cd"}, {2, 3, "ab   cd"}, {4, 9, "abcd"},
		{2, maxLine - 3, "ab" + strings.Repeat(" ", maxLine-3) + "c"}, {2, maxLine, "ab"},
	} {
		l := Lines{cells: []rune("abcd"), column: c.column}
		l.insert(c.n)
		if got := strings.TrimRight(string(l.cells), " "); got != c.want || len(l.cells) != min(4+c.n, maxLine) {
			t.Errorf("%d blanks at %d: %d cells %.20q", c.n, c.column, len(l.cells), got)
		}
	}
}
