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

// whole returns what may be written of the bytes held back and p, in at most two
// pieces, and holds back a character whose end is still to come. The first piece
// is good until the next call.
func (r *runes) whole(p []byte) (first, rest []byte) {
	for r.n > 0 && len(p) > 0 {
		if utf8.RuneStart(p[0]) || r.n == len(r.held) {
			break // what is held never becomes a character
		}
		r.held[r.n] = p[0]
		r.n++
		p = p[1:]
		if utf8.FullRune(r.held[:r.n]) {
			break
		}
	}
	if r.n > 0 && (len(p) > 0 || utf8.FullRune(r.held[:r.n])) {
		first = append(first, r.held[:r.n]...)
		r.n = 0
	}
	cut := len(p)
	for back := 1; back < utf8.UTFMax && back <= len(p); back++ {
		if at := len(p) - back; utf8.RuneStart(p[at]) {
			if !utf8.FullRune(p[at:]) {
				cut = at
			}
			break
		}
	}
	if cut < len(p) {
		r.n = copy(r.held[:], p[cut:])
	}
	return first, p[:cut]
}

// end returns what was held back and never ended.
func (r *runes) end() []byte {
	b := append([]byte(nil), r.held[:r.n]...)
	r.n = 0
	return b
}
