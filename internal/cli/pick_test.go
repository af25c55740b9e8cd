package cli

import (
	"testing"

	"shellagent/shell"
)

func TestPick(t *testing.T) {
	some := func(kinds string) (all []owned) {
		for i, k := range kinds {
			id := string(rune('a'+i)) + "bcdef"
			all = append(all, owned{SessionSummary: shell.SessionSummary{ID: id, Attached: k == 'A', Ended: k == 'E'}})
		}
		return all
	}
	for _, c := range []struct{ kinds, prefix, attach, watch string }{
		{"", "", "", ""},
		{"A", "", "abcdef", "abcdef"},
		{"D", "", "abcdef", "abcdef"},
		{"E", "", "abcdef", "abcdef"},
		{"AD", "", "bbcdef", "abcdef"},
		{"ADE", "", "bbcdef", "abcdef"},
		{"AAE", "", "", ""},
		{"DD", "", "", ""},
		{"EE", "", "", ""},
		{"DD", "bbcd", "bbcdef", "bbcdef"},
		{"DD", "nope", "", ""},
	} {
		for want, preferred := range map[*string]func(owned) bool{&c.attach: isDetached, &c.watch: isAttached} {
			one, err := pick(some(c.kinds), c.prefix, preferred)
			if one.ID != *want || (err == nil) != (*want != "") {
				t.Errorf("%q, %q: %q, %v, want %q", c.kinds, c.prefix, one.ID, err, *want)
			}
		}
	}
}
