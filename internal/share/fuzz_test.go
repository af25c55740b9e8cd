//go:build linux || darwin

package share

import (
	"bufio"
	"bytes"
	"testing"

	"shellagent/shell"
)

// FuzzReceive reads whatever a socket may bring, and writes what it understood.
func FuzzReceive(f *testing.F) {
	f.Add(append(appendHead(nil, kindInput, 3), "abc"...))
	f.Add(append(appendHead(nil, kindFrame, 10), "\x02\x00\x00\x00\x00\x00\x00\x00\x01x"...))
	f.Add(append(appendHead(nil, kindAck, 8), "\x00\x00\x00\x00\x00\x00\x00\x09"...))
	f.Add([]byte("f\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, text []byte) {
		r := bufio.NewReader(bytes.NewReader(text))
		var again []byte
		for {
			k, data, err := receive(r, nil)
			if err != nil {
				break
			}
			again = append(append(appendHead(again, k, len(data)), data...), nil...)
			switch k {
			case kindFrame:
				if frame, err := parseFrame(data); err == nil && frame.Type == shell.FrameSession {
					t.Error("a session frame within a session")
				}
			case kindAck:
				_, _ = parseOffset(data)
			case kindAsk:
				_ = parseJSON(data, &Ask{})
			case kindFailed:
				_ = failureOf(data)
			}
		}
		if !bytes.HasPrefix(text, again) {
			t.Errorf("%q was read as %q", text, again)
		}
	})
}
