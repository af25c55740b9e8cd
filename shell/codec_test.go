package shell

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"testing/iotest"
	"time"
)

func TestFrameBinary(t *testing.T) {
	var wire []byte
	frames := []Frame{
		{Type: FrameSession, End: 0, Data: []byte(`{"sid":"x"}`)},
		{Type: FrameStdout, End: 3, Data: []byte("abc")},
		{Type: FrameGap, End: 1 << 40},
		{Type: FrameExit, End: 1<<40 + 1, Data: []byte(`{"code":0}`)},
	}
	for _, f := range frames {
		wire = AppendFrame(wire, f)
	}
	if want := "\x02\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00\x03abc"; !bytes.Contains(wire, []byte(want)) {
		t.Errorf("%x has no %x", wire, want)
	}
	r := iotest.OneByteReader(bytes.NewReader(wire))
	for _, size := range []int{0, 4, 16, 64} {
		if size > 0 {
			r = bytes.NewReader(wire)
		}
		for _, want := range frames {
			f, err := ReadFrame(r, make([]byte, size))
			if err != nil || f.Type != want.Type || f.End != want.End || !bytes.Equal(f.Data, want.Data) {
				t.Fatalf("got %+v, %v; want %+v", f, err, want)
			}
		}
		if _, err := ReadFrame(r, nil); err != io.EOF {
			t.Errorf("after the last frame: %v", err)
		}
	}
	for cut := 1; cut < len(wire); cut++ {
		r := bytes.NewReader(wire[:cut])
		var err error
		for err == nil {
			_, err = ReadFrame(r, make([]byte, 64))
		}
		whole := cut == 27 || cut == 27+19 || cut == 27+19+16
		if whole != (err == io.EOF) || !whole && err != io.ErrUnexpectedEOF {
			t.Errorf("cut after %d bytes: %v", cut, err)
		}
	}
}

func TestFrameHeaderErrors(t *testing.T) {
	for _, c := range []struct {
		header string
		want   error
	}{
		{"\x00\x00\x00\x00\x00\x00\x00\x00", ErrFrameInvalid},
		{"\x08\x00\x00\x00\x00\x00\x00\x00", ErrFrameInvalid},
		{"\x02\x00\x01\x00\x00\x00\x00\x00", ErrFrameInvalid},
		{"\x02\x00\x00\x00\x00\x04\x00\x01", ErrFrameTooLarge},
		{"\x02\x00\x00\x00\xff\xff\xff\xff", ErrFrameTooLarge},
		{"\x02\x00\x00\x00\x00\x04\x00\x00", nil},
	} {
		_, _, _, err := DecodeFrameHeader([]byte(c.header + "\x00\x00\x00\x00\x00\x00\x00\x00"))
		if !errors.Is(err, c.want) {
			t.Errorf("%x: %v, want %v", c.header, err, c.want)
		}
	}
	if _, _, _, err := DecodeFrameHeader(make([]byte, FrameHeaderSize-1)); !errors.Is(err, ErrFrameInvalid) {
		t.Errorf("a short header: %v", err)
	}
}

func TestFrameTypeNames(t *testing.T) {
	for typ := FrameType(0); typ < 20; typ++ {
		back, ok := ParseFrameType(typ.String())
		if known := typ >= FrameSession && typ <= FrameExit; ok != known || known && back != typ {
			t.Errorf("%v comes back as %v, %v", typ, back, ok)
		}
	}
	if _, ok := ParseFrameType(""); ok {
		t.Error("an empty name is a type")
	}
}

func FuzzReadFrame(f *testing.F) {
	f.Add(AppendFrame(nil, Frame{Type: FrameStdout, End: 5, Data: []byte("hello")}))
	f.Add(AppendFrame(AppendFrame(nil, Frame{Type: FrameGap, End: 9}), Frame{Type: FrameExit, End: 10, Data: []byte("{}")}))
	f.Add([]byte("\x02\x00\x00\x00\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, wire []byte) {
		r := bytes.NewReader(wire)
		buf := make([]byte, 32)
		for {
			at := len(wire) - r.Len()
			frame, err := ReadFrame(r, buf)
			if err != nil {
				return
			}
			if got := AppendFrame(nil, frame); !bytes.Equal(got, wire[at:len(wire)-r.Len()]) {
				t.Fatalf("%x was read, %x is written", wire[at:len(wire)-r.Len()], got)
			}
		}
	})
}

func FuzzParseStdin(f *testing.F) {
	f.Add(AppendStdin(nil, Stdin{Offset: 7, Ack: 9, EOF: true, Data: []byte("ls\n")}))
	f.Add(append(AppendStdin(nil, Stdin{Data: []byte("x")}), make([]byte, 100)...)) // padded
	f.Add(AppendStdin(nil, Stdin{Offset: 7, Cover: 4 * time.Millisecond, Data: []byte("k")}))
	f.Add(append(AppendStdin(nil, Stdin{Ack: 9, Cover: MaxCover}), make([]byte, 100)...)) // chaff
	f.Add(binary.BigEndian.AppendUint64(nil, 1<<63))
	f.Fuzz(func(t *testing.T, body []byte) {
		in, err := ParseStdin(body)
		if err != nil {
			return
		}
		if in.Offset+uint64(len(in.Data)) < in.Offset || len(in.Data) > MaxStdinData {
			t.Fatalf("%d bytes at %d were taken", len(in.Data), in.Offset)
		}
		if got := AppendStdin(nil, in); !bytes.Equal(got, body[:len(got)]) {
			t.Fatalf("%x was parsed, %x is written", body, got)
		}
	})
}

func TestParseStdinErrors(t *testing.T) {
	good := AppendStdin(nil, Stdin{Offset: 1, Data: []byte("abc")})
	for name, change := range map[string]func([]byte) []byte{
		"short":          func(b []byte) []byte { return b[:StdinHeaderSize-1] },
		"cut":            func(b []byte) []byte { return b[:len(b)-1] },
		"unknown flag":   func(b []byte) []byte { b[20] = 4; return b },
		"non-zero zero":  func(b []byte) []byte { b[21] = 1; return b },
		"cover, no time": func(b []byte) []byte { b[20] = 2; return b },
		"time, no cover": func(b []byte) []byte { b[23] = 1; return b },
		"too rare":       func(b []byte) []byte { b[20], b[22], b[23] = 2, 0x03, 0xe9; return b },
		"covered bulk": func(b []byte) []byte {
			return AppendStdin(nil, Stdin{Cover: time.Millisecond, Data: make([]byte, MaxCovered+1)})
		},
		"too long":        func(b []byte) []byte { b[17] = 0xff; return append(b, make([]byte, 1<<24)...) },
		"offset overflow": func(b []byte) []byte { copy(b, "\xff\xff\xff\xff\xff\xff\xff\xff"); return b },
	} {
		if _, err := ParseStdin(change(bytes.Clone(good))); !errors.Is(err, ErrStdinInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Every reason has a row, no code is told with two statuses.
func TestRefusalTable(t *testing.T) {
	status := map[string]int{}
	seen := map[Reason]bool{}
	for _, r := range Refusals() {
		if r.Code == "" || r.Text == "" || seen[r.Reason] || r.Reason.Refusal() != r {
			t.Errorf("row %+v", r)
		}
		seen[r.Reason] = true
		if other, ok := status[r.Code]; ok && other != r.Status {
			t.Errorf("%s is told with %d and %d", r.Code, other, r.Status)
		}
		status[r.Code] = r.Status
	}
	if Reason("made up").Refusal().Status != 500 {
		t.Error("an unknown reason is not answered as internal")
	}
}
