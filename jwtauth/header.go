package jwtauth

import "errors"

// maxHeader bounds the decoded header, in bytes. Ours have about 110.
const maxHeader = 256

var errHeader = errors.New(`header is not exactly {"alg":…,"typ":…,"kid":…} with plain strings`)

// header is a token's header before anything is known to be true. Its slices
// alias the input.
type header struct {
	alg, typ, kid []byte
}

// scanHeader reads the three members, in any order, each exactly once, with
// JSON's white space between tokens. Strings are printable ASCII without
// escapes, so that what is compared is what was sent. It is written by hand
// because nothing that a stranger sends reaches a JSON library before its
// signature held; what it accepts, encoding/json reads the same (FuzzParse).
func scanHeader(b []byte) (header, error) {
	var h header
	s := scanner{b}
	if !s.take('{') {
		return header{}, errHeader
	}
	for i := range 3 {
		if i > 0 && !s.take(',') {
			return header{}, errHeader
		}
		name, ok := s.str()
		if !ok || !s.take(':') {
			return header{}, errHeader
		}
		value, ok := s.str()
		if !ok {
			return header{}, errHeader
		}
		if h, ok = h.with(name, value); !ok {
			return header{}, errHeader
		}
	}
	if !s.take('}') || !s.end() {
		return header{}, errHeader
	}
	return h, nil
}

// with refuses unknown names and those that are set.
func (h header) with(name, value []byte) (header, bool) {
	switch {
	case string(name) == "alg" && h.alg == nil:
		h.alg = value
	case string(name) == "typ" && h.typ == nil:
		h.typ = value
	case string(name) == "kid" && h.kid == nil:
		h.kid = value
	default:
		return h, false
	}
	return h, true
}

type scanner struct{ rest []byte }

func (s *scanner) space() {
	for len(s.rest) > 0 {
		switch s.rest[0] {
		case ' ', '\t', '\r', '\n':
			s.rest = s.rest[1:]
		default:
			return
		}
	}
}

func (s *scanner) take(c byte) bool {
	s.space()
	if len(s.rest) == 0 || s.rest[0] != c {
		return false
	}
	s.rest = s.rest[1:]
	return true
}

// str returns a non-nil slice when it found a string.
func (s *scanner) str() ([]byte, bool) {
	if !s.take('"') {
		return nil, false
	}
	for i, c := range s.rest {
		switch {
		case c == '"':
			value := s.rest[:i:i]
			s.rest = s.rest[i+1:]
			return value, true
		case c == '\\' || c < 0x20 || c > 0x7e:
			return nil, false
		}
	}
	return nil, false
}

func (s *scanner) end() bool {
	s.space()
	return len(s.rest) == 0
}
