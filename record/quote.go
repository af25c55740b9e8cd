package record

import (
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// appendQuoted is jsontext.AppendQuote, and quicker for what terminals show:
// plain text with line ends and escapes between.
func appendQuoted(b, data []byte) []byte {
	b = append(b, '"')
	for len(data) > 0 {
		n := 0
		for n < len(data) && plain[data[n]] {
			n++
		}
		b = append(b, data[:n]...)
		if data = data[n:]; len(data) == 0 {
			break
		}
		switch c := data[0]; {
		case c == '\n':
			b = append(b, '\\', 'n')
		case c == '\r':
			b = append(b, '\\', 'r')
		case c == 0x1b:
			b = append(b, `\u001b`...)
		default:
			n := 1
			for n < len(data) && !plain[data[n]] && data[n] >= utf8.RuneSelf {
				n++
			}
			at := len(b)
			// The error only says that there was something to replace.
			b, _ = jsontext.AppendQuote(b, data[:n])
			b = append(b[:at], b[at+1:len(b)-1]...) // without its quotes
			data = data[n-1:]
		}
		data = data[1:]
	}
	return append(b, '"')
}

// plain is what stands for itself in a JSON string.
var plain = func() (t [256]bool) {
	for c := ' '; c < 0x7f; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()
