package record

import (
	"bytes"
	"time"
)

const (
	typedPatience = 2 * time.Second
	maxTypedHeld  = 1 << 10
	keySequence   = 50 * time.Millisecond // what comes later is another key
)

// typed decides which of the keys given to a program that shows them itself, a
// line editor or a full-screen one, were shown. A key has one chance: it has to be
// the next printable character that the program shows, within two seconds. What is
// answered by an asterisk, or by nothing, is never told; nor are keys that have no
// look, but for Enter, Ctrl-C, Ctrl-D and Ctrl-Z.
type typed struct {
	held  []byte
	since time.Time

	keys, shown escapes
	text        []byte // scratch
}

// press takes keys, and returns those that are told without being shown.
func (t *typed) press(p []byte, now time.Time) (told []byte) {
	t.expire(now)
	if now.Sub(t.since) > keySequence {
		t.keys = escapes{}
	}
	t.text = t.keys.printable(t.text[:0], p, true)
	for _, c := range t.text {
		switch c {
		case '\r', '\n', 3, 4, 26:
			t.held = t.held[:0] // the answer is what follows, not what was typed
			told = append(told, c)
		default:
			if len(t.held) < maxTypedHeld {
				t.held = append(t.held, c)
			}
		}
	}
	t.since = now
	return told
}

// show takes output, and returns the keys that it shows.
func (t *typed) show(p []byte, now time.Time) (told []byte) {
	t.expire(now)
	if len(t.held) == 0 {
		t.shown.skip(p)
		return nil
	}
	t.text = t.shown.printable(t.text[:0], p, false)
	n := 0
	for n < len(t.held) && n < len(t.text) && t.held[n] == t.text[n] {
		n++
	}
	told = bytes.Clone(t.held[:n])
	if n < len(t.text) {
		n = len(t.held) // something else was shown in the place of the rest
	}
	t.held = append(t.held[:0], t.held[n:]...)
	return told
}

func (t *typed) expire(now time.Time) {
	if now.Sub(t.since) > typedPatience {
		t.held = t.held[:0]
	}
}

// escapes tells text from the sequences that move and colour it (ECMA-48).
type escapes struct{ in byte }

// States of escapes.
const (
	inText byte = iota
	inEscape
	inControl // CSI … final byte
	inString  // OSC, DCS, … until BEL or ST
	inStringEscape
	inOne // the byte after SS3, or after a designation
)

// printable appends what has a look in p, and with keys the controls too.
func (e *escapes) printable(to, p []byte, keys bool) []byte {
	for _, c := range p {
		if keys && (c == '\r' || c == '\n') {
			e.in = inText
		}
		text := e.in == inText && c != 0x1b
		e.step(c)
		if text && (c >= ' ' && c != 0x7f || keys && (c == '\r' || c == '\n' || c == 3 || c == 4 || c == 26)) {
			to = append(to, c)
		}
	}
	return to
}

// skip follows p without its text.
func (e *escapes) skip(p []byte) {
	if e.in == inText && bytes.IndexByte(p, 0x1b) < 0 {
		return
	}
	for len(p) > 0 {
		if e.in == inText {
			at := bytes.LastIndexByte(p, 0x1b) // what began before has ended there
			if at < 0 {
				return
			}
			p = p[at:]
		}
		e.step(p[0])
		p = p[1:]
	}
}

func (e *escapes) step(c byte) {
	switch e.in {
	case inText:
		if c == 0x1b {
			e.in = inEscape
		}
	case inEscape:
		switch {
		case c == '[':
			e.in = inControl
		case c == ']' || c == 'P' || c == 'X' || c == '^' || c == '_':
			e.in = inString
		case c == 'O' || c >= 0x20 && c < 0x30:
			e.in = inOne
		case c != 0x1b:
			e.in = inText
		}
	case inControl:
		if c >= 0x40 && c <= 0x7e || c < 0x20 {
			e.in = inText
		}
	case inString:
		switch c {
		case 7, 0x18, 0x1a:
			e.in = inText
		case 0x1b:
			e.in = inStringEscape
		}
	case inStringEscape:
		e.in = inString
		if c == '\\' {
			e.in = inText
		}
	case inOne:
		e.in = inText
	}
}
