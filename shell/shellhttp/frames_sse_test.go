package shellhttp

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/r3labs/sse/v2"

	"shellagent/shell"
)

func TestEventsAsPrinted(t *testing.T) {
	for _, c := range []struct {
		frame shell.Frame
		want  string
	}{
		{shell.Frame{Type: shell.FrameStdout, End: 5, Data: []byte("hello")}, "event: stdout\nid: 5\ndata: aGVsbG8=\n\n"},
		{shell.Frame{Type: shell.FrameStderr, End: 1<<64 - 1, Data: []byte{0xff}}, "event: stderr\nid: 18446744073709551615\ndata: /w==\n\n"},
		{shell.Frame{Type: shell.FrameSession, Data: []byte(`{"sid":"x"}`)}, "event: session\nid: 0\ndata: {\"sid\":\"x\"}\n\n"},
		{shell.Frame{Type: shell.FrameGap, End: 9}, "event: gap\nid: 9\ndata: \n\n"},
		{shell.Frame{Type: shell.FrameExit, End: 6, Data: []byte(`{"code":0}`)}, "event: exit\nid: 6\ndata: {\"code\":0}\n\n"},
	} {
		got, err := appendEvent(nil, c.frame)
		if err != nil || string(got) != c.want {
			t.Errorf("%q, %v, want %q", got, err, c.want)
		}
		if n := eventSize(len(c.frame.Data)); c.frame.Type != shell.FrameSession && c.frame.Type != shell.FrameExit && len(got) > n {
			t.Errorf("%d bytes, promised %d", len(got), n)
		}
	}
	for _, f := range []shell.Frame{
		{Type: shell.FrameStdout, Data: make([]byte, maxEventData+1)},
		{Type: shell.FrameNotice, Data: []byte("{}\n\nevent: exit")},
		{Type: shell.FrameNotice, Data: []byte("{}\revent: exit")},
	} {
		if got, err := appendEvent([]byte("x"), f); !errors.Is(err, errEventData) || string(got) != "x" {
			t.Errorf("%s: %q, %v", f.Type, got, err)
		}
	}
}

func TestEventReaderTakesWhatTheStandardAllows(t *testing.T) {
	stream := ": comment\n\n" +
		"event:stdout\r\nid:3\r\ndata:YWJj\r\n\r\n" +
		"retry: 10\nid: 3\nevent: notice\nfoo: bar\ndata: {\"a\":\ndata: 1}\n\n" +
		"event: gap\nid: 8\ndata\n\n"
	for _, r := range []io.Reader{strings.NewReader(stream), iotest.OneByteReader(strings.NewReader(stream)), iotest.DataErrReader(strings.NewReader(stream))} {
		er := newEventReader(r)
		for _, want := range []shell.Frame{
			{Type: shell.FrameStdout, End: 3, Data: []byte("abc")},
			{Type: shell.FrameNotice, End: 3, Data: []byte("{\"a\":\n1}")},
			{Type: shell.FrameGap, End: 8},
		} {
			f, err := er.next()
			if err != nil || f.Type != want.Type || f.End != want.End || !bytes.Equal(f.Data, want.Data) {
				t.Fatalf("%+v, %v, want %+v", f, err, want)
			}
		}
		if _, err := er.next(); err != io.EOF {
			t.Errorf("at the end: %v", err)
		}
	}
}

func TestEventReaderRefuses(t *testing.T) {
	for _, text := range []string{
		"event: shell\nid: 1\ndata: \n\n", "id: 1\ndata: YQ==\n\n", "event: stdout\ndata: YQ==\n\n",
		"event: stdout\nid: 01\ndata: YQ==\n\n", "event: stdout\nid: -1\ndata: YQ==\n\n",
		"event: stdout\nid: 18446744073709551616\ndata: YQ==\n\n", "event: stdout\nid: 1x\ndata: YQ==\n\n",
		"event: stdout\nid: 1\ndata: YQ\n\n", "event: stdout\nid: 1\ndata: YR==\n\n", "event: stdout\nid: 1\ndata: Y*==\n\n",
		"event: stdout\nid: 1\ndata: " + strings.Repeat("A", maxEvent) + "\n\n",
	} {
		var format *formatError
		if f, err := newEventReader(strings.NewReader(text)).next(); !errors.As(err, &format) {
			t.Errorf("%.60q: %+v, %v", text, f, err)
		}
	}
}

// However a stream is cut, what comes out is a prefix of its frames, and the
// end is told from a cut.
func TestEventReaderAtEveryCut(t *testing.T) {
	var whole []byte
	ends := map[int]bool{0: true}
	for i, s := range []string{"a", "", "bcd", "efgh"} {
		var err error
		whole, err = appendEvent(whole, shell.Frame{Type: shell.FrameStdout, End: uint64(i), Data: []byte(s)})
		if err != nil {
			t.Fatal(err)
		}
		ends[len(whole)] = true
	}
	for cut := range len(whole) + 1 {
		for _, end := range []error{io.EOF, io.ErrClosedPipe} {
			r := newEventReader(io.MultiReader(bytes.NewReader(whole[:cut]), iotest.ErrReader(end)))
			n := 0
			for {
				f, err := r.next()
				if err == nil {
					if f.End != uint64(n) {
						t.Fatalf("cut at %d: frame %d is %+v", cut, n, f)
					}
					n++
					continue
				}
				want := end
				if end == io.EOF && !ends[cut] {
					want = io.ErrUnexpectedEOF
				}
				if err != want {
					t.Errorf("cut at %d after %d frames: %v, want %v", cut, n, err, want)
				}
				break
			}
		}
	}
}

func FuzzSSE(f *testing.F) {
	f.Add(uint8(2), uint64(5), []byte("hello"), []byte("event: stdout\nid: 5\ndata: aGVsbG8=\n\n"))
	f.Add(uint8(7), uint64(6), []byte(`{"code":0}`), []byte("event: exit\r\nid: 1\r\ndata\r\n\r\n\n\n:x\r\r"))
	f.Fuzz(func(t *testing.T, typ uint8, end uint64, data, wire []byte) {
		// Arbitrary bytes never panic and always end.
		for r := newEventReader(bytes.NewReader(wire)); ; {
			if _, err := r.next(); err != nil {
				break
			}
		}
		in := shell.Frame{Type: shell.FrameType(typ%7 + 1), End: end, Data: data}
		text, err := appendEvent(nil, in)
		if err != nil {
			return
		}
		readers := []io.Reader{bytes.NewReader(text)}
		if len(text) < 1<<10 { // r3labs' reader searches from the start after every read
			readers = append(readers, iotest.OneByteReader(bytes.NewReader(text)))
		}
		for _, r := range readers {
			er := newEventReader(r)
			out, err := er.next()
			if err != nil || out.Type != in.Type || out.End != in.End || !bytes.Equal(out.Data, in.Data) {
				t.Fatalf("%+v became %+v, %v", in, out, err)
			}
			if _, err := er.next(); err != io.EOF {
				t.Fatalf("after the event: %v", err)
			}
		}
		// The fields are as printed.
		var ev sse.Event
		parseEvent(bytes.TrimSuffix(text, []byte("\n\n")), &ev)
		if binaryData(in.Type) && string(ev.Data) != base64.StdEncoding.EncodeToString(in.Data) {
			t.Fatalf("event %+v", ev)
		}
	})
}
