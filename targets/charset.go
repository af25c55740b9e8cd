package targets

import "strings"

const (
	lower  = "abcdefghijklmnopqrstuvwxyz"
	upper  = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits = "0123456789"
)

// made reports whether s is 1 to limit bytes long and has only those of set. It
// stands where regular expressions would: compiling them costs each start of
// the client half a millisecond.
func made(s, set string, limit int) bool {
	// Trim stops at the first byte that is not in the set, so nothing is left
	// only when there is none.
	return s != "" && len(s) <= limit && strings.Trim(s, set) == ""
}
