package playback

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"

	"shellagent/record"
)

// tape is a recording's events in turn. Going back begins anew: so it never
// holds more than one segment, however long the recording.
type tape struct {
	file       *file
	reader     *record.Reader
	in         *os.File
	lines      []byte
	begun      bool
	cols, rows int
}

func open(f *file) (*tape, error) {
	t := &tape{file: f}
	return t, t.rewind()
}

// rewind goes to the start.
func (t *tape) rewind() error {
	t.close()
	r, in, err := t.file.open(nil)
	if err != nil {
		return err
	}
	t.reader, t.in, t.lines, t.begun = r, in, nil, false
	return t.fill()
}

func (t *tape) close() {
	if t.in != nil {
		_ = t.in.Close()
		t.in = nil
	}
}

// fill reads the next segment, and of the first one its first line.
func (t *tape) fill() error {
	s, err := t.reader.Next()
	if err != nil {
		return err
	}
	if t.lines, err = s.Lines(t.file.identities); err != nil {
		return err
	}
	if t.begun {
		return nil
	}
	t.begun = true
	first, rest, _ := bytes.Cut(t.lines, []byte("\n"))
	t.lines = rest
	var size struct {
		Width  int `json:"width"`
		Height int `json:"height"`
	}
	if err := json.Unmarshal(first, &size); err != nil {
		return fmt.Errorf("%w: its first line: %w", record.ErrFormat, err)
	}
	t.cols, t.rows = size.Width, size.Height
	return nil
}

// next returns the next event, and io.EOF after the last.
func (t *tape) next() (record.Event, error) {
	for len(t.lines) == 0 {
		if err := t.fill(); err != nil {
			return record.Event{}, err
		}
	}
	line, rest, _ := bytes.Cut(t.lines, []byte("\n"))
	t.lines = rest
	return record.ParseEvent(line)
}

// shown says whether an event is on the screen.
func shown(e record.Event) bool { return e.Code == 'o' || e.Code == 'e' }

// writeAll is a replay for whoever has no terminal.
func writeAll(cmd *cobra.Command, f *file, t *tape) error {
	for {
		e, err := t.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return f.cutNote(cmd, err)
		}
		if !shown(e) {
			continue
		}
		if _, err := cmd.OutOrStdout().Write(e.Data()); err != nil {
			return err
		}
	}
}

// offset is how a time is said to a person.
func offset(d time.Duration) string { return d.Truncate(time.Second).String() }
