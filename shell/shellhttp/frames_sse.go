package shellhttp

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/r3labs/sse/v2"

	"shellagent/shell"
)

// Bounds of one event. r3labs' client refuses events over 64 KiB, so output is
// split well below.
const (
	maxEventData = 32 << 10 // bytes of a frame's data in one event
	maxEvent     = 64 << 10 // bytes of one encoded event, as a client accepts it
)

var errEventData = errors.New("frame does not fit an event")

// appendEvent appends f as one event. Output and keepalives are base64; the
// rest is JSON on one line. It fails for data over 32 KiB and for JSON with a
// line break, and then returns dst as it was.
func appendEvent(dst []byte, f shell.Frame) ([]byte, error) {
	if len(f.Data) > maxEventData {
		return dst, fmt.Errorf("%w: %s of %d bytes", errEventData, f.Type, len(f.Data))
	}
	text := !binaryData(f.Type)
	if text && bytes.ContainsAny(f.Data, "\r\n") {
		return dst, fmt.Errorf("%w: %s with a line break", errEventData, f.Type)
	}
	dst = append(dst, "event: "...)
	dst = append(dst, f.Type.String()...)
	dst = append(dst, "\nid: "...)
	dst = strconv.AppendUint(dst, f.End, 10)
	dst = append(dst, "\ndata: "...)
	if text {
		dst = append(dst, f.Data...)
	} else {
		dst = base64.StdEncoding.AppendEncode(dst, f.Data)
	}
	return append(dst, '\n', '\n'), nil
}

// eventSize bounds what appendEvent appends for n bytes of data.
func eventSize(n int) int { return base64.StdEncoding.EncodedLen(n) + 64 }

func binaryData(t shell.FrameType) bool {
	return t == shell.FrameStdout || t == shell.FrameStderr || t == shell.FrameKeepalive
}

// parseEvent reads the lines of one event into ev, whose fields then alias raw.
// It is the inverse of appendEvent's text and follows the standard in what
// else it accepts: other line ends, comments, unknown fields, several data lines.
func parseEvent(raw []byte, ev *sse.Event) {
	*ev = sse.Event{}
	lines := 0
	for len(raw) > 0 {
		var line []byte
		line, raw = cutLine(raw)
		name, value, _ := bytes.Cut(line, []byte(":"))
		if len(value) > 0 && value[0] == ' ' {
			value = value[1:]
		}
		switch string(name) {
		case "event":
			ev.Event = value
		case "id":
			ev.ID = value
		case "data":
			if lines > 0 {
				value = append(append(append([]byte{}, ev.Data...), '\n'), value...)
			}
			ev.Data = value
			lines++
		}
	}
}

// cutLine cuts at LF, CR LF or CR.
func cutLine(b []byte) (line, rest []byte) {
	line, rest, _ = bytes.Cut(b, []byte("\n"))
	if i := bytes.IndexByte(line, '\r'); i >= 0 && i < len(line)-1 {
		return b[:i], b[i+1:]
	}
	return bytes.TrimSuffix(line, []byte("\r")), rest
}

// frameOf reads an event as a frame. Its data is in buf, which has room for
// that of the event.
func frameOf(ev *sse.Event, buf []byte) (shell.Frame, error) {
	t, ok := shell.ParseFrameType(string(ev.Event))
	if !ok {
		return shell.Frame{}, fmt.Errorf("unknown event %.20q", ev.Event)
	}
	end, ok := parseOffset(ev.ID)
	if !ok {
		return shell.Frame{}, fmt.Errorf("event %s has the id %.30q", t, ev.ID)
	}
	n := 0
	if binaryData(t) {
		var err error
		if n, err = strictBase64.Decode(buf, ev.Data); err != nil {
			return shell.Frame{}, fmt.Errorf("event %s at %d: %w", t, end, err)
		}
	} else {
		n = copy(buf, ev.Data)
	}
	return shell.Frame{Type: t, End: end, Data: buf[:n]}, nil
}

var strictBase64 = base64.StdEncoding.Strict()

// parseOffset reads the one decimal form of an offset.
func parseOffset(b []byte) (uint64, bool) {
	if len(b) == 0 || len(b) > 20 || b[0] == '0' && len(b) > 1 {
		return 0, false
	}
	var n uint64
	for _, c := range b {
		d := uint64(c - '0')
		if d > 9 || n > (1<<64-1-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return n, true
}

// eventReader yields the frames of an event stream. It reads with r3labs'
// reader, and makes up for what that does at the end of input: it would hand
// out half an event as a whole one.
type eventReader struct {
	src    *cutReader
	events *sse.EventStreamReader
	buf    []byte
	event  sse.Event
}

func newEventReader(r io.Reader) *eventReader {
	src := &cutReader{r: r}
	return &eventReader{src: src, events: sse.NewEventStreamReader(src, maxEvent)}
}

func (r *eventReader) next() (shell.Frame, error) {
	for {
		raw, err := r.events.ReadEvent()
		if cut := r.src.err; cut != nil {
			// The reader asks for more only when it holds no whole event, so
			// this one is not.
			if cut == io.EOF && len(raw) > 0 {
				cut = io.ErrUnexpectedEOF
			}
			return shell.Frame{}, cut
		}
		if err != nil {
			return shell.Frame{}, &formatError{err}
		}
		parseEvent(raw, &r.event)
		if len(r.event.Event)+len(r.event.ID)+len(r.event.Data) == 0 {
			continue // a comment
		}
		if n := len(r.event.Data); cap(r.buf) < n {
			r.buf = make([]byte, n)
		}
		f, err := frameOf(&r.event, r.buf[:cap(r.buf)])
		if err != nil {
			return shell.Frame{}, &formatError{err}
		}
		return f, nil
	}
}

func (r *eventReader) leave() { r.buf = nil }

// cutReader remembers the error that ended the input, and never returns it
// together with bytes.
type cutReader struct {
	r   io.Reader
	err error
}

func (c *cutReader) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.r.Read(p)
	if err == nil {
		return n, nil
	}
	if n > 0 {
		// The same error or io.EOF comes again when asked for more.
		c.r = errReader{err}
		return n, nil
	}
	c.err = err
	return 0, err
}

type errReader struct{ err error }

func (e errReader) Read([]byte) (int, error) { return 0, e.err }

// formatError says that bytes arrived whole and are not of this protocol.
type formatError struct{ err error }

func (e *formatError) Error() string { return e.err.Error() }
func (e *formatError) Unwrap() error { return e.err }
