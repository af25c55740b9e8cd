package record

import (
	"bytes"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

func FuzzQuote(f *testing.F) {
	for _, text := range []string{"", "plain", "a\nb\r\x1b[m\"\\\x00\x7f\t", "é€😀", "\xff\xe2\x82x\xe2", "\x01é\n\x02\x03", "<&>\u2028"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		want, _ := jsontext.AppendQuote(nil, data)
		if got := appendQuoted(nil, data); !bytes.Equal(got, want) {
			t.Errorf("%q is quoted %s instead of %s", data, got, want)
		}
	})
}

func BenchmarkQuote(b *testing.B) {
	text := bytes.Repeat([]byte("1000001\n"), 4<<10)
	var buf []byte
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		buf = appendQuoted(buf[:0], text)
	}
}
