package record

import (
	"strconv"
	"time"
	"unicode/utf8"
)

// appendEvent appends a line of asciicast v2. Bytes that are not UTF-8 become
// U+FFFD, as on a screen.
func appendEvent(b []byte, at time.Duration, code byte, data []byte) []byte {
	b = append(b, '[')
	b = appendSeconds(b, at)
	b = append(b, `, "`...)
	b = append(b, code)
	b = append(b, `", `...)
	b = appendQuoted(b, data)
	return append(b, ']', '\n')
}

// appendSeconds writes microseconds as a decimal number of seconds.
func appendSeconds(b []byte, at time.Duration) []byte {
	us := uint64(max(at, 0).Microseconds())
	b = strconv.AppendUint(b, us/1e6, 10)
	b = append(b, '.')
	for unit := uint64(1e5); unit > 0; unit /= 10 {
		b = append(b, '0'+byte(us/unit%10))
	}
	return b
}

// runes makes whole characters of bytes that come in any pieces.
type runes struct {
	held [utf8.UTFMax]byte
	n    int
}

// cut returns how much of p may be written, and holds back a character whose end
// is still to come. What was held back before is forgotten: it is in p.
func (r *runes) cut(p []byte) int {
	cut := len(p)
	for back := 1; back < utf8.UTFMax && back <= len(p); back++ {
		if at := len(p) - back; utf8.RuneStart(p[at]) {
			if !utf8.FullRune(p[at:]) {
				cut = at
			}
			break
		}
	}
	r.n = copy(r.held[:], p[cut:])
	return cut
}

// end returns what was held back and never ended.
func (r *runes) end() []byte {
	b := append([]byte(nil), r.held[:r.n]...)
	r.n = 0
	return b
}
