package record

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"filippo.io/age"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// ExportOptions say what an exported cast is like.
type ExportOptions struct {
	// Version is asciicast's, 2 or 3; 0 means 2.
	Version int
	// Identities decrypt an encrypted recording.
	Identities []age.Identity
	// KeepStderr leaves output of stderr under the code e, which players pass over.
	KeepStderr bool
}

// Export writes the asciicast of a recording, as far as it holds. It returns the
// *[Damage] at which it stopped; what it wrote is then a whole cast none the less.
func Export(w io.Writer, r *Reader, o ExportOptions) error {
	if o.Version == 0 {
		o.Version = 2
	}
	if o.Version != 2 && o.Version != 3 {
		return fmt.Errorf("asciicast version %d: choose 2 or 3", o.Version)
	}
	out := bufio.NewWriterSize(w, 64<<10)
	e := exporter{out: out, o: o}
	for {
		s, err := r.Next()
		if err != nil {
			if err == io.EOF {
				err = nil
			}
			return errors.Join(err, out.Flush())
		}
		lines, err := s.Lines(o.Identities)
		if err != nil {
			return errors.Join(err, out.Flush())
		}
		if err := e.lines(lines); err != nil {
			return err
		}
	}
}

type exporter struct {
	out   *bufio.Writer
	o     ExportOptions
	begun bool
	last  time.Duration
	buf   []byte
}

func (e *exporter) lines(lines []byte) error {
	for len(lines) > 0 {
		line, rest, whole := bytes.Cut(lines, []byte("\n"))
		if !whole {
			return fmt.Errorf("%w: a line without an end", ErrFormat)
		}
		lines = rest
		if err := e.line(line); err != nil {
			return err
		}
	}
	return nil
}

func (e *exporter) line(line []byte) error {
	if !e.begun {
		e.begun = true
		return e.first(line)
	}
	ev, err := ParseEvent(line)
	if err != nil {
		return err
	}
	code := ev.Code
	if code == 'e' && !e.o.KeepStderr {
		code = 'o'
	}
	e.buf = append(e.buf[:0], '[')
	if e.o.Version == 3 { // intervals
		e.buf = appendSeconds(e.buf, ev.At-e.last)
	} else {
		e.buf = appendSeconds(e.buf, ev.At)
	}
	e.last = ev.At
	e.buf = append(e.buf, `, "`...)
	e.buf = append(e.buf, code)
	e.buf = append(e.buf, `", `...)
	e.buf = append(e.buf, ev.raw...)
	e.buf = append(e.buf, ']', '\n')
	_, err = e.out.Write(e.buf)
	return err
}

// castHeader3 is the first line of an asciicast v3.
type castHeader3 struct {
	Version   int            `json:"version"`
	Term      castTerm       `json:"term"`
	Timestamp int64          `json:"timestamp"`
	Command   string         `json:"command,omitzero"`
	Title     string         `json:"title,omitzero"`
	Ours      jsontext.Value `json:"shellagent,omitzero"`
}

type castTerm struct {
	Cols int    `json:"cols"`
	Rows int    `json:"rows"`
	Type string `json:"type,omitzero"`
}

func (e *exporter) first(line []byte) error {
	if e.o.Version == 2 {
		_, err := e.out.Write(append(line, '\n'))
		return err
	}
	var h struct {
		castHeader
		Ours jsontext.Value `json:"shellagent"`
	}
	if err := json.Unmarshal(line, &h); err != nil {
		return fmt.Errorf("%w: its first line: %w", ErrFormat, err)
	}
	b, err := json.Marshal(castHeader3{
		Version: 3, Term: castTerm{Cols: h.Width, Rows: h.Height, Type: h.Env["TERM"]},
		Timestamp: h.Timestamp, Command: h.Command, Title: h.Title, Ours: h.Ours,
	}, json.Deterministic(true))
	if err != nil {
		return err
	}
	_, err = e.out.Write(append(b, '\n'))
	return err
}

// Event is a line of an asciicast v2 after its first one.
type Event struct {
	At   time.Duration
	Code byte

	raw []byte // the data as JSON
}

// Data returns the event's text.
func (e Event) Data() []byte {
	b, _ := jsontext.AppendUnquote(nil, e.raw)
	return b
}

// ParseEvent reads a line as it was recorded. It shares the line's memory.
func ParseEvent(line []byte) (Event, error) {
	bad := func() (Event, error) { return Event{}, fmt.Errorf("%w: line %.60q", ErrFormat, line) }
	rest, ok := bytes.CutPrefix(line, []byte("["))
	if !ok {
		return bad()
	}
	seconds, rest, ok := bytes.Cut(rest, []byte(`, "`))
	if !ok || len(rest) < 4 || rest[1] != '"' || rest[2] != ',' || rest[3] != ' ' || rest[len(rest)-1] != ']' {
		return bad()
	}
	whole, part, ok := bytes.Cut(seconds, []byte("."))
	if !ok || len(part) != 6 {
		return bad()
	}
	us, err := strconv.ParseUint(string(whole)+string(part), 10, 53)
	if err != nil {
		return bad()
	}
	e := Event{At: time.Duration(us) * time.Microsecond, Code: rest[0], raw: rest[4 : len(rest)-1]}
	if v := jsontext.Value(e.raw); v.Kind() != '"' || !v.IsValid() {
		return bad()
	}
	return e, nil
}
