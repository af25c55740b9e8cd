package drain

import (
	"unicode"
	"unicode/utf8"
)

// Bounds of a line, in runes, and of the parameters of an escape sequence in bytes.
const (
	maxLine   = 4096
	maxEscape = 64
)

// Lines turns a program's output into the lines that a terminal would show: what
// is written over is gone, what moves within the line moves, and everything else
// that only a terminal understands (colours, titles) is left out. A program that
// moves to other lines (an editor) ends the line that it leaves. The zero value is
// ready.
type Lines struct {
	cells  []rune
	column int
	half   []byte // of a rune
	state  state
	params []byte
	full   bool // the line's beginning was given out, for its length
}

type state uint8

const (
	plain state = iota
	escape
	charset // one more byte
	csi
	text      // OSC, DCS, APC, PM, SOS: up to BEL or ST
	textEnded // ESC within
)

// Write gives each line to emit, without its end.
func (l *Lines) Write(p []byte, emit func(line string)) {
	if len(l.half) > 0 {
		p = append(l.half, p...)
		l.half = nil
	}
	for len(p) > 0 {
		if !utf8.FullRune(p) {
			l.half = append([]byte(nil), p...)
			return
		}
		r, n := utf8.DecodeRune(p)
		p = p[n:]
		l.rune(r, emit)
	}
}

// End gives out a line that has not ended.
func (l *Lines) End(emit func(line string)) {
	if len(l.half) > 0 {
		l.half = nil
		l.put(utf8.RuneError, emit)
	}
	if len(l.cells) > 0 {
		l.line(emit)
	}
}

func (l *Lines) rune(r rune, emit func(string)) {
	switch l.state {
	case plain:
		l.show(r, emit)
	case escape:
		l.state = plain
		switch {
		case r == '[':
			l.state, l.params = csi, l.params[:0]
		case r == ']' || r == 'P' || r == '_' || r == '^' || r == 'X':
			l.state = text
		case r >= ' ' && r <= '/':
			l.state = charset
		case r == 'D' || r == 'E' || r == 'M':
			l.leave(emit)
		}
	case charset:
		l.state = plain
	case csi:
		l.csi(r, emit)
	case text:
		switch r {
		case 0x07, 0x9c:
			l.state = plain
		case 0x1b:
			l.state = textEnded
		case '\n': // no terminal's text has one: the sequence was never ended
			l.state = plain
			l.line(emit)
		}
	case textEnded:
		l.state = plain
		if r != '\\' {
			l.state = escape
			l.rune(r, emit)
		}
	}
}

func (l *Lines) show(r rune, emit func(string)) {
	switch r {
	case '\n', '\v', '\f', 0x85:
		l.line(emit)
	case '\r':
		l.column = 0
	case '\b':
		l.column = max(l.column-1, 0)
	case '\t':
		l.move(8 - l.column%8)
	case 0x1b:
		l.state = escape
	case 0x9b:
		l.state, l.params = csi, l.params[:0]
	default:
		if !unicode.IsControl(r) {
			l.put(r, emit)
		}
	}
}

// put writes a rune at the cursor.
func (l *Lines) put(r rune, emit func(string)) {
	if l.column >= maxLine {
		l.line(emit)
		l.full = true
	}
	for len(l.cells) <= l.column {
		l.cells = append(l.cells, ' ')
	}
	l.cells[l.column] = r
	l.column++
}

// move goes right over what is there, to the longest line's end at most.
func (l *Lines) move(n int) {
	l.column = min(l.column+n, maxLine)
	for len(l.cells) < l.column {
		l.cells = append(l.cells, ' ')
	}
}

// insert moves what is right of the cursor away by n blanks, and out of the line
// where that is too far.
func (l *Lines) insert(n int) {
	at, old := min(l.column, len(l.cells)), len(l.cells)
	n = min(n, maxLine-at)
	for len(l.cells) < min(old+n, maxLine) {
		l.cells = append(l.cells, ' ')
	}
	copy(l.cells[at+n:], l.cells[at:old])
	for i := range l.cells[at : at+n] {
		l.cells[at+i] = ' '
	}
}

// csi takes a control sequence of ECMA-48 §5.4.
func (l *Lines) csi(r rune, emit func(string)) {
	if r < '@' || r > '~' {
		switch {
		case r == 0x1b:
			l.state = escape
		case r < ' ':
			l.state = plain
			l.show(r, emit)
		case len(l.params) < maxEscape && r < utf8.RuneSelf:
			l.params = append(l.params, byte(r))
		}
		return
	}
	l.state = plain
	n := l.number()
	switch r {
	case 'C', 'a':
		l.move(max(n, 1))
	case 'D':
		l.column = max(l.column-max(n, 1), 0)
	case 'G', '`':
		l.column = min(max(n, 1)-1, len(l.cells))
	case 'K':
		l.erase(n)
	case 'P':
		at := min(l.column, len(l.cells))
		l.cells = append(l.cells[:at], l.cells[min(at+max(n, 1), len(l.cells)):]...)
	case '@':
		l.insert(max(n, 1))
	case 'X':
		for i := l.column; i < min(l.column+max(n, 1), len(l.cells)); i++ {
			l.cells[i] = ' '
		}
	case 'A', 'B', 'E', 'F', 'H', 'f', 'd', 'J', 'S', 'T', 'L', 'M':
		l.leave(emit)
	case 'h', 'l':
		if len(l.params) > 0 && l.params[0] == '?' && (n == 1049 || n == 47 || n == 1047) {
			l.leave(emit) // to the other screen
		}
	}
}

// number is the first parameter, 0 when there is none.
func (l *Lines) number() int {
	n := 0
	for i, c := range l.params {
		if i == 0 && c == '?' {
			continue
		}
		if c < '0' || c > '9' {
			break
		}
		n = min(n*10+int(c-'0'), maxLine)
	}
	return n
}

func (l *Lines) erase(what int) {
	at := min(l.column, len(l.cells))
	switch what {
	case 0:
		l.cells = l.cells[:at]
	case 1:
		for i := range l.cells[:min(at+1, len(l.cells))] {
			l.cells[i] = ' '
		}
	case 2:
		l.cells = l.cells[:0]
	}
}

// leave ends a line that the cursor goes away from.
func (l *Lines) leave(emit func(string)) {
	if len(l.cells) > 0 {
		l.line(emit)
	}
	l.column = 0
}

func (l *Lines) line(emit func(string)) {
	cells := l.cells
	for len(cells) > 0 && cells[len(cells)-1] == ' ' {
		cells = cells[:len(cells)-1]
	}
	if len(cells) > 0 || !l.full {
		emit(string(cells))
	}
	l.cells, l.column, l.full = l.cells[:0], 0, false
}
