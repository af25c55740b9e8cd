package terminal

import (
	"bytes"
	"slices"
)

// maxQuestion bounds a sequence that is held until it is known whether it asks
// something, in bytes. Longer ones, such as pictures, ask nothing.
const maxQuestion = 256

// Questions takes out of a program's output what a terminal would answer: where
// the cursor is, what it can, which colours it has (ECMA-48, xterm's ctlseqs). For
// output that is shown again: its program has the answers, and would take others
// for keys. The zero value is ready, at the start of a sequence or of text.
type Questions struct {
	held []byte // a sequence whose end has not come
	esc  bool   // and then ESC, which begins another or ends a string
	long bool   // within a string that is too long to ask something
}

// Drop appends to dst what of p asks nothing. A sequence may be in pieces. One
// that another begins within is dropped as well, as a terminal does.
func (q *Questions) Drop(dst, p []byte) []byte {
	for _, c := range p {
		switch {
		case q.esc && (q.long || q.isString()) && c == '\\': // the end of a string
			dst = q.take(q.take(dst, esc), c)
			q.esc, q.long = false, false
		case c == esc:
			if q.esc || !q.long && !q.isString() {
				q.held, q.long = q.held[:0], false
			}
			q.esc = true
		case q.esc:
			q.held, q.long, q.esc = append(q.held[:0], esc, c), false, false
			dst = q.look(dst)
		default:
			dst = q.take(dst, c)
		}
	}
	return dst
}

// Rest is what is held back of a sequence that has not ended.
func (q *Questions) Rest() []byte {
	if q.esc {
		return append(q.held[:len(q.held):len(q.held)], esc)
	}
	return q.held
}

const (
	enquiry = 0x05
	bell    = 0x07
	cancel  = 0x18
	replace = 0x1a // ends a sequence as cancel does
)

func (q *Questions) isString() bool {
	return len(q.held) > 1 && (q.held[1] == ']' || q.held[1] == 'P')
}

// take takes one more byte of text or of a sequence.
func (q *Questions) take(dst []byte, c byte) []byte {
	switch {
	case q.long:
		q.long = c != bell && c != cancel && c != replace
		return append(dst, c)
	case len(q.held) > 0:
		q.held = append(q.held, c)
		return q.look(dst)
	case c == enquiry:
		return dst
	default:
		return append(dst, c)
	}
}

// look lets go of what is held once it is known what it is.
func (q *Questions) look(dst []byte) []byte {
	ends := q.ends()
	if !ends && len(q.held) <= maxQuestion {
		return dst
	}
	if !asks(q.held) {
		dst = append(dst, q.held...)
	}
	q.long = !ends && q.isString()
	q.held = q.held[:0]
	return dst
}

// ends says whether the last byte held ends the sequence.
func (q *Questions) ends() bool {
	c := q.held[len(q.held)-1]
	switch {
	case c == cancel || c == replace:
		return true
	case q.isString():
		return c == bell || len(q.held) > 3 && c == '\\' && q.held[len(q.held)-2] == esc
	case q.held[1] == '[':
		return len(q.held) > 2 && c >= 0x40 && c <= 0x7e
	default: // ESC, intermediate bytes, a final one
		return c >= 0x30
	}
}

// asks says whether a terminal answers a sequence.
func asks(sequence []byte) bool {
	if len(sequence) < 2 || len(sequence) > maxQuestion {
		return false
	}
	body, final := sequence[2:], sequence[len(sequence)-1]
	switch sequence[1] {
	case 'Z': // DECID
		return true
	case '[':
		switch final {
		case 'c', 'n', 'x', 't', 'y': // attributes, status, parameters, window, checksum
			return true
		case 'p':
			return slices.Contains(body, '$') // DECRQM
		case 'q':
			return body[0] == '>' // XTVERSION
		case 'u':
			return body[0] == '?'
		}
	case ']':
		return bytes.ContainsRune(body, '?') // colours, fonts, clipboard
	case 'P':
		return bytes.HasPrefix(body, []byte("$q")) || bytes.HasPrefix(body, []byte("+q"))
	}
	return false
}
