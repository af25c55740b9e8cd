package drain

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Patterns can make a line longer: sixty-four of them shall not fill the memory,
// or the trail with lines that it does not take.
func TestRedactionsAreBounded(t *testing.T) {
	boundary, secret := regexp.MustCompile(`\b`), regexp.MustCompile(`s[a-z]+t`)
	for _, c := range []struct {
		redact []*regexp.Regexp
		in     string
		want   string
	}{
		{slices.Repeat([]*regexp.Regexp{boundary}, 64), "one secret", redacted},
		{[]*regexp.Regexp{boundary, secret}, strings.Repeat("a ", 2000) + "secret", redacted},
		{[]*regexp.Regexp{secret}, "one secret", "one " + redacted},
	} {
		d := Drain{redact: c.redact}
		d.line("stdout", c.in)
		if got := d.batch[0].Line; got != c.want {
			t.Errorf("%.60q of %d bytes", got, len(got))
		}
	}
}
