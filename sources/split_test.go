package sources

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

func TestSplit(t *testing.T) {
	tests := []struct {
		line string
		want []string // nil: refused
	}{
		{"ls", []string{"ls"}},
		{"  ls\t-l  ", []string{"ls", "-l"}},
		{`echo 'a b' "c d" e'f'"g"`, []string{"echo", "a b", "c d", "efg"}},
		{`echo '' ""`, []string{"echo", "", ""}},
		{`echo '$x;|&' "a;b'c"`, []string{"echo", "$x;|&", "a;b'c"}},
		{"echo 'a\nb'", []string{"echo", "a\nb"}},
		{"git-upload-pack 'team/repo.git'", []string{"git-upload-pack", "team/repo.git"}},
		{"rsync --server -vlogDtpre.iLsfxCIvu --opt=1 . /srv", []string{"rsync", "--server", "-vlogDtpre.iLsfxCIvu", "--opt=1", ".", "/srv"}},
		{"grüße 日本", []string{"grüße", "日本"}},
		{"", nil}, {"  \t", nil}, {"A=1 ls", nil}, {"A=1", nil},
		{"a|b", nil}, {"a;b", nil}, {"a&b", nil}, {"a>b", nil}, {"a<b", nil}, {"(a)", nil}, {"$a", nil}, {"`a`", nil},
		{`a\ b`, nil}, {"a*", nil}, {"a?", nil}, {"[a]", nil}, {"#a", nil}, {"~/a", nil}, {"{a,b}", nil}, {"!a", nil},
		{`"$a"`, nil}, {"\"`a`\"", nil}, {`"a\"b"`, nil}, {"'a", nil}, {`"a`, nil}, {"a\nb", nil}, {"a\rb", nil}, {"a\x00b", nil}, {"'a\x00b'", nil}, {"a\x1bb", nil},
	}
	for _, tt := range tests {
		words, err := split(tt.line, false)
		switch {
		case tt.want == nil && err == nil:
			t.Errorf("%q was split into %q", tt.line, argv(words))
		case tt.want != nil && (err != nil || !slices.Equal(argv(words), tt.want)):
			t.Errorf("%q: %q, %v; want %q", tt.line, argv(words), err, tt.want)
		}
	}
	if _, err := split(strings.Repeat("a ", 5000), false); err == nil {
		t.Error("5000 words were split")
	}
}

// sh returns what a POSIX shell makes of the words of a line.
func sh(t *testing.T, line string) ([]string, error) {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", `printf '%s\0' x `+line)
	cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=/root"}
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	return strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")[1:], nil
}

// TestSplitAgreesWithAShell: whoever lists a command reads it as a shell does.
func TestSplitAgreesWithAShell(t *testing.T) {
	for _, line := range []string{
		"ls -l", `a 'b c' "d e"f'g' ''`, "a=b --x=y", "a,b:c@d%e+f/g.h_i-j^k]", "'a\nb'\t\"\t\"", `"it's" 'say "x"'`, "ä ö",
	} {
		words, err := split("x "+line, false)
		want, shErr := sh(t, line)
		if line == "a,b:c@d%e+f/g.h_i-j^k]" {
			// A lone bracket is refused, which is stricter than a shell.
			if err == nil {
				t.Errorf("%q was split", line)
			}
			continue
		}
		if err != nil || shErr != nil || !slices.Equal(argv(words)[1:], want) {
			t.Errorf("%q: %q (%v), sh says %q (%v)", line, argv(words), err, want, shErr)
		}
	}
}

func TestJoinIsReadBackByAShell(t *testing.T) {
	args := []string{"a", "", "a b", "it's", `"`, "$x", "`id`", "*", "~", "a\nb", "#", "\\", "A=1", "!x", "{a,b}", "-n", "日本"}
	want := append([]string{"x"}, args...)
	got, err := sh(t, strings.TrimPrefix(join(want), "x "))
	if err != nil || !slices.Equal(got, args) {
		t.Errorf("%q became %q, %v", args, got, err)
	}
}

func FuzzSplit(f *testing.F) {
	for _, seed := range []string{"ls -l", `echo 'a b' "c"`, "a|b", "'", "a\x00", `x"'"y`, "A=1 b", "* **", "a '*' *"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		words, err := split(line, false)
		if err != nil {
			return
		}
		list := argv(words)
		if len(list) == 0 || strings.Contains(strings.Join(list, ""), "\x00") {
			t.Fatalf("%q became %q", line, list)
		}
		again, err := split(join(list), false)
		if err != nil || !slices.Equal(argv(again), list) {
			t.Fatalf("%q became %q, and joined and split %q (%v)", line, list, argv(again), err)
		}
		// What is not quoted was let through only because no shell cares.
		if !strings.ContainsAny(line, `'"`) && strings.ContainsAny(line, metacharacters+"\n") {
			t.Fatalf("%q became %q", line, list)
		}
	})
}

func FuzzPattern(f *testing.F) {
	f.Add("ls **", "ls a b")
	f.Add("systemctl status *", "systemctl status x")
	f.Add("echo '*' *", "echo '*' y")
	f.Fuzz(func(t *testing.T, text, line string) {
		p, err := newPattern(Program{Line: text})
		if text == "" || err != nil {
			return
		}
		// What a pattern prints means the same.
		again, err := newPattern(Program{Line: p.String()})
		if err != nil || again.String() != p.String() {
			t.Fatalf("%q prints %q, which prints %q (%v)", text, p, again, err)
		}
		words, err := split(line, false)
		if err != nil {
			return
		}
		list := argv(words)
		if p.matches(list) != again.matches(list) || p.matches(list) && list[0] != p.elements[0].text {
			t.Fatalf("%q and %q about %q", text, again, list)
		}
	})
}
