package config

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/tailscale/hujson"
)

// At returns the line and column, both from 1, of what the JSON pointer
// (RFC 6901) names: the value itself, or, where it does not exist, the nearest
// value that should contain it. Columns count characters, not bytes.
func (f *File) At(pointer string) (line, column int) {
	offset, _ := f.find(pointer)
	return f.position(offset)
}

// find returns the offset of the deepest value on the pointer's way and how
// many of the pointer's tokens led to it.
func (f *File) find(pointer string) (offset, depth int) {
	v := &f.root
	for pointer != "" {
		token, rest, _ := strings.Cut(strings.TrimPrefix(pointer, "/"), "/")
		next := v.Find("/" + token)
		if next == nil {
			break
		}
		v, depth, pointer = next, depth+1, rest
		if rest != "" {
			pointer = "/" + rest
		}
	}
	return v.StartOffset, depth
}

// position converts an offset into a line and a column. An offset beyond the
// text, which an unexpected end has, is moved to the last character.
func (f *File) position(offset int) (line, column int) {
	end := len(bytes.TrimRight(f.text, "\r\n"))
	offset = max(0, min(offset, end))
	before := f.text[:offset]
	line = 1 + bytes.Count(before, []byte("\n"))
	column = 1 + utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:])
	return line, column
}

func findNull(v *hujson.Value) *hujson.Value {
	switch t := v.Value.(type) {
	case hujson.Literal:
		if t.Kind() == 'n' {
			return v
		}
	case *hujson.Object:
		for i := range t.Members {
			if found := findNull(&t.Members[i].Value); found != nil {
				return found
			}
		}
	case *hujson.Array:
		for i := range t.Elements {
			if found := findNull(&t.Elements[i]); found != nil {
				return found
			}
		}
	}
	return nil
}

// tooDeep returns the offset of the first bracket beyond [MaxDepth]. Brackets in
// strings and comments do not count; text that is not JSON may be misjudged, and
// is refused by the parser then.
func tooDeep(text []byte) (offset int, found bool) {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			i = skipString(text, i)
		case c == '/' && bytes.HasPrefix(text[i:], []byte("//")):
			i = skipTo(text, i, "\n")
		case c == '/' && bytes.HasPrefix(text[i:], []byte("/*")):
			i = skipTo(text, i+2, "*/")
		case c == '[' || c == '{':
			if depth++; depth > MaxDepth {
				return i, true
			}
		case c == ']' || c == '}':
			depth--
		}
	}
	return 0, false
}

// skipString returns the offset of the quote that closes the string at i.
func skipString(text []byte, i int) int {
	for i++; i < len(text) && text[i] != '"'; i++ {
		if text[i] == '\\' {
			i++
		}
	}
	return i
}

// skipTo returns the offset of the last byte of the next end after i.
func skipTo(text []byte, i int, end string) int {
	if i > len(text) {
		return len(text)
	}
	n := bytes.Index(text[i:], []byte(end))
	if n < 0 {
		return len(text)
	}
	return i + n + len(end) - 1
}
