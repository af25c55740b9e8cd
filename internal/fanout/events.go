package fanout

import (
	"bytes"
	"encoding/json"
	"io"
	"unicode/utf8"
)

// eventsVersion is that of the form of [Events].
const eventsVersion = 1

// Events writes JSON, one object a line: a start with all targets, output as it
// comes, an end for each target, and a summary. docs/fan-out.md has the members.
type Events struct {
	screen  *Screen
	targets []EventTarget
	writers [][]*eventWriter
}

var _ Printer = (*Events)(nil)

// EventTarget names a target in an event.
type EventTarget struct {
	// Target is as it is shown; Source is the source that is opened there.
	Target string `json:"target"`
	Source string `json:"source,omitempty"`
}

type startEvent struct {
	Event   string        `json:"event"`
	Version int           `json:"version"`
	Targets []EventTarget `json:"targets"`
}

// outputEvent has a line with its end, or a piece of one: as text, or in base64 when
// it is not UTF-8.
type outputEvent struct {
	Event  string  `json:"event"`
	Target string  `json:"target"`
	Stream string  `json:"stream"`
	Text   *string `json:"text,omitempty"`
	Base64 []byte  `json:"base64,omitempty"`
}

type endEvent struct {
	Event string `json:"event"`
	EventTarget
	OK      bool    `json:"ok"`
	Outcome Outcome `json:"outcome"`
	Code    int     `json:"code"`
	Signal  string  `json:"signal,omitempty"`
	Why     string  `json:"why,omitempty"`
	Took    int64   `json:"tookMs"`
}

type summaryEvent struct {
	Event     string `json:"event"`
	Version   int    `json:"version"`
	Targets   int    `json:"targets"`
	Succeeded int    `json:"succeeded"`
	Code      int    `json:"code"`
}

// NewEvents returns a printer for these targets, and writes the start.
func NewEvents(screen *Screen, targets []EventTarget) (*Events, error) {
	e := &Events{screen: screen, targets: targets, writers: make([][]*eventWriter, len(targets))}
	return e, e.write(startEvent{"start", eventsVersion, targets})
}

// Streams implements [Printer].
func (e *Events) Streams(target int) (stdout, stderr io.Writer) {
	out := &eventWriter{Events: e, target: target, to: Stdout}
	err := &eventWriter{Events: e, target: target, to: Stderr}
	e.writers[target] = []*eventWriter{out, err}
	return out, err
}

// Done implements [Printer].
func (e *Events) Done(target int, r Result) error {
	for _, w := range e.writers[target] {
		w.pieces.end(w.add)
		if err := w.flush(); err != nil {
			return err
		}
	}
	e.writers[target] = nil
	return e.write(endEvent{"end", e.targets[target], r.OK(), r.Outcome, r.Code, r.Signal, r.Why, r.Took.Milliseconds()})
}

// Summary writes the last event. code is the exit code of all.
func (e *Events) Summary(results []Result, code int) error {
	return e.write(summaryEvent{"summary", eventsVersion, len(results), Succeeded(results), code})
}

func (e *Events) write(event any) error {
	line, err := appendEvent(nil, event)
	if err != nil {
		return err
	}
	return e.screen.write(Stdout, line)
}

// appendEvent appends a line. HTML is nobody's concern here.
func appendEvent(dst []byte, event any) ([]byte, error) {
	b := bytes.NewBuffer(dst)
	j := json.NewEncoder(b)
	j.SetEscapeHTML(false)
	err := j.Encode(event)
	return b.Bytes(), err
}

type eventWriter struct {
	*Events
	target int
	to     Stream
	pieces pieces
	buf    []byte
	err    error
}

// Write implements [io.Writer]. It writes the lines that are whole.
func (w *eventWriter) Write(p []byte) (int, error) {
	w.pieces.add(p, w.add)
	return len(p), w.flush()
}

func (w *eventWriter) add(piece []byte, _ bool) {
	o := outputEvent{Event: "output", Target: w.targets[w.target].Target, Stream: w.to.String()}
	if utf8.Valid(piece) {
		text := string(piece)
		o.Text = &text
	} else {
		o.Base64 = piece
	}
	buf, err := appendEvent(w.buf, o)
	if err != nil {
		w.err = err
		return
	}
	if w.buf = buf; len(buf) >= flushSize {
		_ = w.flush()
	}
}

func (w *eventWriter) flush() error {
	if err := w.screen.write(Stdout, w.buf); err != nil {
		w.err = err
	}
	w.buf = w.buf[:0]
	return w.err
}
