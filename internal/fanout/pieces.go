package fanout

import (
	"bytes"
	"unicode/utf8"
)

// MaxLine bounds a line, in bytes: a longer one is shown in several pieces.
const MaxLine = 64 << 10

// pieces takes a stream apart into lines with their end, and long lines into
// several pieces. Nothing is lost, added or changed.
type pieces struct {
	rest  []byte // of a line that has no end yet, less than MaxLine
	later bool   // rest follows a piece of the same line
}

// add gives each what has come whole: a piece, and whether an earlier one began
// its line.
func (p *pieces) add(data []byte, each func(piece []byte, later bool)) {
	for len(data) > 0 {
		n := bytes.IndexByte(data, '\n') + 1
		whole := n > 0
		if !whole {
			n = len(data)
		}
		if len(p.rest)+n > MaxLine {
			p.cut(&data, each)
			continue
		}
		line := data[:n]
		data = data[n:]
		switch {
		case !whole:
			p.rest = append(p.rest, line...)
		case len(p.rest) > 0:
			each(append(p.rest, line...), p.later)
			p.rest, p.later = p.rest[:0], false
		default:
			each(line, p.later)
			p.later = false
		}
	}
}

// cut gives each the first MaxLine bytes of a line that is longer, and a few less
// where a character would be cut in two.
func (p *pieces) cut(data *[]byte, each func(piece []byte, later bool)) {
	n := MaxLine - len(p.rest)
	p.rest = append(p.rest, (*data)[:n]...)
	*data = (*data)[n:]
	keep := unfinished(p.rest)
	whole := len(p.rest) - keep
	each(p.rest[:whole], p.later)
	p.rest = append(p.rest[:0], p.rest[whole:]...)
	p.later = true
}

// unfinished is how many bytes at the end begin a UTF-8 character that goes on.
func unfinished(p []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(p); n++ {
		tail := p[len(p)-n:]
		if utf8.RuneStart(tail[0]) {
			if utf8.FullRune(tail) {
				return 0
			}
			return n
		}
	}
	return 0
}

// end gives each what has no end.
func (p *pieces) end(each func(piece []byte, later bool)) {
	if len(p.rest) > 0 {
		each(p.rest, p.later)
	}
	*p = pieces{}
}
