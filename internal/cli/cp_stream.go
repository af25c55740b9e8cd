package cli

import (
	"context"
	"encoding/json"
	"io"
	"strings"

	"shellagent/shell"
)

// stream is a session as the two streams that a copy needs. Read is for one
// goroutine.
type stream struct {
	ctx     context.Context
	session remote
	ui      *ui
	name    string // whose words on standard error are

	rest []byte // of a frame
	end  uint64 // offset behind it
	exit *shell.Exit
}

// Read implements [io.Reader] on the program's output. Its end is the program's.
func (t *stream) Read(p []byte) (int, error) {
	for len(t.rest) == 0 {
		if t.exit != nil {
			return 0, io.EOF
		}
		if err := t.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, t.rest)
	if t.rest = t.rest[n:]; len(t.rest) == 0 {
		t.session.Ack(t.end)
	}
	return n, nil
}

func (t *stream) next() error {
	f, err := t.session.Next(t.ctx)
	if err != nil {
		return err
	}
	switch f.Type {
	case shell.FrameStdout:
		if t.rest, t.end = f.Data, f.End; len(t.rest) > 0 {
			return nil
		}
	case shell.FrameStderr:
		for line := range strings.Lines(string(f.Data)) {
			t.ui.line(t.name + ": " + strings.TrimRight(line, "\n"))
		}
	case shell.FrameNotice:
		var n shell.Notice
		if json.Unmarshal(f.Data, &n) == nil && n.Text != "" {
			t.ui.note("%s", n.Text)
		}
	case shell.FrameExit:
		exit, err := readExit(f.Data)
		if err != nil {
			return err
		}
		t.exit = &exit
	}
	t.session.Ack(f.End)
	return nil
}

// Write implements [io.Writer] on the program's input.
func (t *stream) Write(p []byte) (int, error) { return t.session.Write(p) }

// finish ends the input and waits for the program's exit.
func (t *stream) finish() error {
	if err := t.session.CloseWrite(); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, t)
	return err
}
