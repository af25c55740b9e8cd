package terminal

import (
	"bytes"
	"fmt"
	"strconv"
)

// screenMode is a private mode of the terminal (DECSET; xterm's ctlseqs) that a
// program changes while it fills the screen, and what it is otherwise.
type screenMode struct {
	number int
	normal bool
}

// screenModes are in the order in which they are undone: the other screen is left last.
var screenModes = [...]screenMode{
	{1, false}, {66, false}, // cursor keys, keypad
	{7, true}, {25, true}, // lines wrap, the cursor is seen
	{9, false}, {1000, false}, {1001, false}, {1002, false}, {1003, false}, // the mouse
	{1004, false}, {1005, false}, {1006, false}, {1015, false}, {1016, false},
	{2004, false},                             // pastes are marked
	{47, false}, {1047, false}, {1049, false}, // the other screen
}

// otherScreen are the last of screenModes.
const otherScreen = 3

// Modes follows what a program's output makes of the terminal, so that it can be
// undone where the program is left before it does so itself. The zero value is a
// terminal as a shell has it.
type Modes struct {
	changed uint32 // a bit for each of screenModes
	keypad  bool   // sends codes of its own (DECKPAM)

	state  escapeState
	params []byte
}

type escapeState uint8

const (
	inText    escapeState = iota
	inEscape              // after ESC
	inControl             // after ESC [
	inPrivate             // after ESC [ ?
)

// maxParams bounds the parameters of a sequence, in bytes; longer ones are ignored.
const maxParams = 64

const esc = 0x1b

// See notes output. A sequence may be in pieces.
func (m *Modes) See(p []byte) {
	for len(p) > 0 {
		if m.state == inText {
			i := bytes.IndexByte(p, esc)
			if i < 0 {
				return
			}
			if p = p[i+1:]; len(p) > 1 && p[0] == '[' && p[1] != '?' && p[1] != esc {
				continue // a colour, mostly: nothing that matters is in it
			}
			m.state = inEscape
			continue
		}
		m.step(p[0])
		p = p[1:]
	}
}

func (m *Modes) step(c byte) {
	switch {
	case c == esc:
		m.state = inEscape
	case m.state == inEscape && c == '[':
		m.state = inControl
	case m.state == inControl && c == '?':
		m.state, m.params = inPrivate, m.params[:0]
	case m.state == inPrivate && (c >= '0' && c <= '9' || c == ';') && len(m.params) < maxParams:
		m.params = append(m.params, c)
	default:
		m.final(c)
		m.state = inText
	}
}

// final is the last byte of a sequence.
func (m *Modes) final(c byte) {
	switch {
	case m.state == inEscape && (c == '=' || c == '>'):
		m.keypad = c == '='
	case m.state == inEscape && c == 'c': // a full reset
		m.changed, m.keypad = 0, false
	case m.state == inPrivate && (c == 'h' || c == 'l'):
		for number := range bytes.SplitSeq(m.params, []byte{';'}) {
			if n, err := strconv.Atoi(string(number)); err == nil {
				m.set(n, c == 'h')
			}
		}
	}
}

func (m *Modes) set(number int, on bool) {
	for i, known := range screenModes {
		if number != known.number {
			continue
		}
		if on == known.normal {
			m.changed &^= 1 << i
		} else {
			m.changed |= 1 << i
		}
	}
}

// FillsScreen says whether the program draws on a screen of its own.
func (m *Modes) FillsScreen() bool { return m.changed>>(len(screenModes)-otherScreen) != 0 }

// Undo is what makes the terminal a shell's again, nothing if it is.
func (m *Modes) Undo() []byte {
	if m.changed == 0 && !m.keypad {
		return nil
	}
	undo := []byte("\x1b[0m\x1b(B") // colours, letters
	if m.FillsScreen() {
		undo = append(undo, "\x1b[r"...) // all of the screen scrolls
	}
	if m.keypad {
		undo = append(undo, "\x1b>"...)
	}
	for i, known := range screenModes {
		if m.changed>>i&1 != 0 {
			undo = appendMode(undo, known.number, known.normal)
		}
	}
	return undo
}

// Redo is what undoes Undo. The screen has to be drawn again.
func (m *Modes) Redo() (redo []byte) {
	for i := len(screenModes) - 1; i >= 0; i-- {
		if m.changed>>i&1 != 0 {
			redo = appendMode(redo, screenModes[i].number, !screenModes[i].normal)
		}
	}
	if m.keypad {
		redo = append(redo, "\x1b="...)
	}
	return redo
}

func appendMode(dst []byte, number int, on bool) []byte {
	final := 'l'
	if on {
		final = 'h'
	}
	return fmt.Appendf(dst, "\x1b[?%d%c", number, final)
}
