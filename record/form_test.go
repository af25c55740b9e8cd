package record

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"
)

func FuzzFlood(f *testing.F) {
	event := append(make([]byte, eventHead), "shown\xff"...)
	event[0] = 'o'
	binary.BigEndian.PutUint32(event[9:], 6)
	for _, form := range []byte{floodPlain, floodPacked, 9} {
		p := presses.Get().(*press)
		b := append(make([]byte, frontSize), event...)
		if form == floodPacked {
			b = p.pack(make([]byte, frontSize), event)
		}
		f.Add(finishFlood(b, form, time.Second, len(event))[frontFree:])
		p.putBack()
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		if len(frame) < frameHeader {
			return
		}
		lines, err := floodLines(frame)
		if err != nil {
			return
		}
		if len(lines) > maxLines+4<<10 {
			t.Fatalf("%d bytes of lines", len(lines))
		}
		for line := range bytes.Lines(lines) {
			if _, err := ParseEvent(bytes.TrimSuffix(line, []byte("\n"))); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// Little is made lines however it looks; much is not, until there was time.
func TestAllowance(t *testing.T) {
	p := presses.Get().(*press)
	defer p.putBack()
	text := bytes.Repeat([]byte("0123456789 some text that is not the same all over\n"), 1<<20/51)
	for i := range text {
		text[i] += byte(i * 7919 >> 13 & 3)
	}
	var a allowance
	for i, c := range []struct {
		n     int
		at    time.Duration
		flood bool
	}{
		{600 << 10, time.Second, false}, {400 << 10, time.Second, false}, {400 << 10, time.Second, true},
		{30 << 10, time.Second, false}, {900 << 10, 1100 * time.Millisecond, true}, {900 << 10, 2 * time.Second, false}, {1000 << 10, time.Hour, false},
	} {
		n := min(c.n, len(text))
		if flood, _ := a.flood(p, text[:n], c.at); flood != c.flood {
			t.Errorf("%d: %d bytes at %v: flood %v", i, n, c.at, flood)
		}
	}
}
