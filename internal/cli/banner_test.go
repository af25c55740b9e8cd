package cli

import (
	"bytes"
	"strings"
	"testing"

	"shellagent/shell"
)

func TestBannerIsText(t *testing.T) {
	for text, want := range map[string]string{
		"":                           "",
		"one":                        "one\n",
		"one\ntwo\n":                 "one\ntwo\n",
		"a\tb\r\n\n\x1b[2Jc\u202e\a": "a    b\n\n[2Jc\n",
		"\xff\x9b31mx":               "31mx\n",
	} {
		var out bytes.Buffer
		(&ui{name: "agent", out: &out}).banner(text)
		if out.String() != want {
			t.Errorf("%q is shown as %q, want %q", text, out.String(), want)
		}
	}
	var out bytes.Buffer
	(&ui{out: &out}).banner(strings.Repeat("x\n", 1<<20))
	if out.Len() != shell.MaxBanner {
		t.Errorf("%d bytes of a banner are shown", out.Len())
	}
	out.Reset()
	(&ui{out: &out, quiet: true}).banner("x")
	if out.Len() != 0 {
		t.Errorf("%q is shown though quiet", out.String())
	}
}
