package playback

import "testing"

func TestFinderPassesOverSequences(t *testing.T) {
	for _, output := range []string{
		"permission denied", "Permission\x1b[1m Denied", "\x1b[31mpermission\x1b(B\x1b[m denied",
		"permission\x1b]0;title\x07 denied", "permission\x1b]0;title\x1b\\ denied", "permission\x1b\x1b[1m denied",
		"permission\x1b=\x1b> denied",
	} {
		var whole, single finder
		if !whole.sees([]byte(output), "permission denied") {
			t.Errorf("%q is not found", output)
		}
		found := false
		for i := range len(output) {
			found = single.sees([]byte(output[i:i+1]), "permission denied") || found
		}
		if !found {
			t.Errorf("%q is not found byte by byte", output)
		}
	}
}
