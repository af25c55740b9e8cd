package playback

import "bytes"

// finder looks for a text in output that comes in pieces, as a person would see
// it: escape sequences are passed over, and case does not matter.
type finder struct {
	seen   []byte // the end of what was shown
	escape escapeState
}

type escapeState int

const (
	plain escapeState = iota
	escaped
	inSequence // CSI: until a final byte
	inString   // OSC and its like: until BEL or ST
	stringEscaped
	inOne // the byte after a designation, or after SS3
)

// sees takes more output and says whether the text is in it, or in it and what
// came before.
func (f *finder) sees(output []byte, text string) bool {
	for _, b := range output {
		f.take(b)
	}
	found := bytes.Contains(bytes.ToLower(f.seen), bytes.ToLower([]byte(text)))
	if keep := len(text) - 1; len(f.seen) > keep {
		f.seen = append(f.seen[:0], f.seen[len(f.seen)-keep:]...)
	}
	return found
}

func (f *finder) take(b byte) {
	switch f.escape {
	case plain:
		if b == 0x1b {
			f.escape = escaped
		} else if b >= ' ' && b != 0x7f || b == '\n' {
			f.seen = append(f.seen, b)
		}
	case escaped:
		switch {
		case b == '[':
			f.escape = inSequence
		case b == ']' || b == 'P' || b == '_' || b == '^' || b == 'X':
			f.escape = inString
		case b == 'O' || b >= ' ' && b < '0': // "ESC ( B" is how tput(1) ends colours
			f.escape = inOne
		case b != 0x1b:
			f.escape = plain
		}
	case inSequence:
		if b >= 0x40 && b <= 0x7e {
			f.escape = plain
		}
	case inString:
		if b == 7 {
			f.escape = plain
		} else if b == 0x1b {
			f.escape = stringEscaped
		}
	case stringEscaped, inOne:
		f.escape = plain
	}
}
