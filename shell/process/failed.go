package process

import (
	"io"
	"strings"
	"time"

	"shellagent/shell"
)

// Failed is a program that could not be started, as the program that a shell
// would have run in its place: it prints why and exits.
type Failed struct {
	code     int
	terminal bool
	out, err io.Reader
}

var _ shell.Program = (*Failed)(nil)

// FailedProgram returns a program that prints message and a line's end, on
// standard error or on the terminal if there is one, and exits with code.
func FailedProgram(code int, message string, terminal bool) *Failed {
	message = strings.TrimRight(message, "\n")
	if terminal {
		message = strings.ReplaceAll(message, "\n", "\r\n") + "\r\n"
		return &Failed{code: code, terminal: true, out: strings.NewReader(message)}
	}
	return &Failed{code: code, out: strings.NewReader(""), err: strings.NewReader(message + "\n")}
}

// Stdin implements [shell.Program]: what is written is lost.
func (f *Failed) Stdin() io.WriteCloser { return discard{} }

// Output implements [shell.Program].
func (f *Failed) Output(t shell.FrameType) io.Reader {
	switch {
	case t == shell.FrameStdout:
		return f.out
	case t == shell.FrameStderr && !f.terminal:
		return f.err
	default:
		return nil
	}
}

// Resize implements [shell.Program].
func (f *Failed) Resize(shell.Winsize) error { return nil }

// Signal implements [shell.Program].
func (f *Failed) Signal(string) error { return nil }

// Wait implements [shell.Program].
func (f *Failed) Wait() shell.Exit { return shell.Exit{Code: f.code} }

// HangUp implements [shell.Program].
func (f *Failed) HangUp(time.Duration) {}

// Close implements [shell.Program].
func (f *Failed) Close() {}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) Close() error                { return nil }
