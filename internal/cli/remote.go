package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"shellagent/internal/share"
	"shellagent/shell"
	"shellagent/shell/shellhttp"
)

// remote is a running program, here or at the holder of a shared connection.
type remote = share.Session

var (
	_ remote = (*shellhttp.Lasting)(nil)
	_ remote = (*share.Remote)(nil)
)

// outputError says that output could not be written on this side.
type outputError struct{ err error }

func (e *outputError) Error() string { return fmt.Sprintf("cannot write the output: %v", e.err) }
func (e *outputError) Unwrap() error { return e.err }

// output is where a program's output goes. notice is told what the agent says
// to the person.
type output struct {
	stdout, stderr io.Writer
	notice         func(text string)
}

// copy writes frames until the program's exit, and acknowledges what was
// written. A standard error that nobody reads is no reason to end a program;
// every other failure to write is an *outputError.
func (o *output) copy(ctx context.Context, r remote) (shell.Exit, error) {
	for {
		f, err := r.Next(ctx)
		if err != nil {
			return shell.Exit{}, err
		}
		switch f.Type {
		case shell.FrameStdout:
			_, err = o.stdout.Write(f.Data)
		case shell.FrameStderr:
			_, err = o.stderr.Write(f.Data)
			if err != nil && isBrokenPipe(err) {
				o.stderr, err = io.Discard, nil
			}
		case shell.FrameNotice:
			o.tell(f.Data)
		case shell.FrameExit:
			exit, err := readExit(f.Data)
			if err == nil {
				r.Ack(f.End)
			}
			return exit, err
		}
		if err != nil {
			return shell.Exit{}, &outputError{err}
		}
		r.Ack(f.End)
	}
}

func (o *output) tell(data []byte) {
	var n shell.Notice
	if o.notice != nil && json.Unmarshal(data, &n) == nil && n.Text != "" {
		o.notice(n.Text)
	}
}

func readExit(data []byte) (shell.Exit, error) {
	var exit shell.Exit
	if err := json.Unmarshal(data, &exit); err != nil {
		return exit, fmt.Errorf("%w: exit: %w", shellhttp.ErrStream, err)
	}
	if exit.Code < 0 || exit.Code > 255 {
		return exit, fmt.Errorf("%w: exit code %d", shellhttp.ErrStream, exit.Code)
	}
	return exit, nil
}

// ended turns how a program ended into how this one does.
func (s *surroundings) ended(ctx context.Context, r remote, target string, exit shell.Exit, err error) error {
	var write *outputError
	switch {
	case err == nil:
		if exit.Reason != "" {
			s.ui.note("the agent ended the session: %s", exit.Reason)
		}
		if exit.Signal != "" {
			s.ui.debug("the program was ended by signal %s", exit.Signal)
			return otherExit{Exit(exit.Code)}
		}
		return Exit(exit.Code)
	case errors.As(err, &write):
		if isBrokenPipe(err) {
			return otherExit{exitPipe}
		}
		return failWith(codeTransport, err)
	}
	if code, ok := exitOf(ctx); ok {
		return code
	}
	return failWith(codeTransport, explained(target, r.Info(), err))
}

// explained says of a session that was lost what becomes of it.
func explained(target string, info shell.SessionInfo, err error) error {
	var gone *shellhttp.LostError
	if errors.As(err, &gone) {
		return lost(target, time.Duration(info.Linger)*time.Millisecond, gone)
	}
	return err
}
