package sshargs

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

func TestParseForward(t *testing.T) {
	tcp := func(host string, port int) Endpoint { return Endpoint{Host: host, Port: port} }
	unix := func(path string) Endpoint { return Endpoint{Path: path} }
	for _, test := range []struct {
		d    Direction
		text string
		want Forward
	}{
		{Local, "8080:db:5432", Forward{tcp("", 8080), tcp("db", 5432)}},
		{Local, "127.0.0.1:8080:db:http", Forward{tcp("127.0.0.1", 8080), tcp("db", 80)}},
		{Local, ":8080:db:80", Forward{tcp("*", 8080), tcp("db", 80)}},
		{Local, "[::1]:8080:[2001:db8::1]:80", Forward{tcp("::1", 8080), tcp("2001:db8::1", 80)}},
		{Local, "8080:/run/x", Forward{tcp("", 8080), unix("/run/x")}},
		{Local, "/tmp/a:/tmp/b", Forward{unix("/tmp/a"), unix("/tmp/b")}},
		{Local, "/tmp/a:db:80", Forward{unix("/tmp/a"), tcp("db", 80)}},
		{Local, `/tmp/a\:b:db:80`, Forward{unix("/tmp/a:b"), tcp("db", 80)}},
		{Local, "[/tmp/a:b]:db:80", Forward{unix("/tmp/a:b"), tcp("db", 80)}},
		{Remote, "0:db:80", Forward{tcp("", 0), tcp("db", 80)}},
		{Remote, "0", Forward{Listen: tcp("", 0)}},
		{Remote, "*:1080", Forward{Listen: tcp("*", 1080)}},
		{Remote, "/tmp/a", Forward{Listen: unix("/tmp/a")}},
		{Dynamic, "1080", Forward{Listen: tcp("", 1080)}},
		{Dynamic, "[::]:1080", Forward{Listen: tcp("::", 1080)}},
		{Dynamic, "/tmp/a", Forward{Listen: unix("/tmp/a")}},
	} {
		got, err := ParseForward(test.d, test.text, false)
		if err != nil || got != test.want {
			t.Errorf("-%c %s is %+v, %v; want %+v", test.d, test.text, got, err, test.want)
		}
	}
	if f, err := ParseForward(Local, "0:db:80", true); err != nil || f.Listen.Port != 0 {
		t.Errorf("any port where that may be: %+v, %v", f, err)
	}
}

// forwardTexts are values of all directions, good and bad.
var forwardTexts = []string{
	"8080:localhost:80", ":8080:[::1]:80", "*:8080:h:http", "[::1]:8080:/run/x", "/tmp/a:/tmp/b", "/tmp/a:h:80", "8080:/tmp/b",
	"1080", "[::1]:1080", "/tmp/x", "0:h:80", "0", "*:0:h:80", "h:80:h:80", `a\:b:80:h:80`, "80:h", "1:2:3:4:5", "1:2:3", "80:h:0", ":80",
	"[a/b]:h:80", "70000:h:80", "http:h:80", "80:h:80:", ":", "localhost:8080:/x", "/a:b:c:80", "x:y", "[::1:80", "[::1]x:80", " 1080", "80:h:nosuchservice",
}

func TestForwardsAsOpenSSH(t *testing.T) {
	if _, err := exec.LookPath("ssh"); err != nil {
		t.Fatal("ssh is missing: make test installs it when run as root")
	}
	for _, d := range []Direction{Local, Remote, Dynamic} {
		for _, text := range forwardTexts {
			args := []string{"-" + string(rune(d)), text, "h"}
			theirs, ok := openssh(t, args)
			ours, err := Parse(args)
			if d == Dynamic && strings.HasSuffix(text, ":/tmp/b") {
				ok = false // it takes a destination there, and does not use it
			}
			if ok != (err == nil) {
				t.Errorf("%q: OpenSSH takes it: %v; here: %v", args, ok, err)
				continue
			}
			if !ok {
				continue
			}
			keyword := forwardKeywords[d]
			want := theirs[keyword]
			for i := range want {
				want[i] = strings.Replace(want[i], "[]:", "[*]:", 1)
			}
			if got := ours.answerForwards(keyword); !slices.Equal(got, want) {
				t.Errorf("%q: %q, OpenSSH's is %q", args, got, want)
			}
		}
	}
}

func TestParseStdio(t *testing.T) {
	for text, want := range map[string]Endpoint{
		"db:5432": {Host: "db", Port: 5432}, "[::1]:22": {Host: "::1", Port: 22}, "h:ssh": {Host: "h", Port: 22}, "/run/x": {Path: "/run/x"},
	} {
		if got, err := ParseStdio(text); err != nil || got != want {
			t.Errorf("%s is %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "db", "22", "db:0", "db:", ":22", "a:b:22", "db:70000", "/a:22", "[::1"} {
		if got, err := ParseStdio(text); err == nil {
			t.Errorf("%s is taken as %+v", text, got)
		}
	}
}

func TestStdioClearsForwards(t *testing.T) {
	for args, want := range map[string]int{"-W h:1 -L 1:h:2 j": 0, "-oClearAllForwardings=no -W h:1 -L 1:h:2 j": 1, "-oClearAllForwardings=yes -L 1:h:2 j": 0, "-L 1:h:2 j": 1} {
		c, err := Parse(strings.Fields(args))
		if err != nil {
			t.Fatal(err)
		}
		if local, _, _ := c.Forwards(); len(local) != want {
			t.Errorf("%s: %d forwards, want %d", args, len(local), want)
		}
	}
}

// FuzzParseForward: what is taken can be written down and is the same again.
func FuzzParseForward(f *testing.F) {
	for _, text := range forwardTexts {
		f.Add(byte('L'), text)
		f.Add(byte('R'), text)
		f.Add(byte('D'), text)
	}
	f.Fuzz(func(t *testing.T, d byte, text string) {
		if forwardKeywords[Direction(d)] == "" {
			return
		}
		got, err := ParseForward(Direction(d), text, false)
		if err != nil {
			return
		}
		if got.IsDynamic() && d == 'L' || !got.IsDynamic() && d == 'D' {
			t.Fatalf("-%c %q is %+v", d, text, got)
		}
		for _, e := range []Endpoint{got.Listen, got.Connect} {
			if e.Path != "" && (e.Host != "" || e.Port != 0) || e.Port < 0 || e.Port > 65535 || len(e.Path) > maxPath || len(e.Host) > maxHostName {
				t.Fatalf("-%c %q is %+v", d, text, got)
			}
		}
		if strings.ContainsAny(text, `\[]`) || strings.ContainsAny(got.Listen.Host+got.Connect.Host, ":/") {
			return // which a person writes otherwise
		}
		if again, err := ParseForward(Direction(d), got.String(), false); err != nil || again != got {
			t.Fatalf("-%c %q is %+v; written as %q it is %+v, %v", d, text, got, got, again, err)
		}
	})
}
