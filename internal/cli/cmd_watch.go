package cli

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"

	"github.com/spf13/cobra"

	"shellagent/internal/terminal"
	"shellagent/shell"
	"shellagent/shell/shellhttp"
)

func watchCommand(s *surroundings) *cobra.Command {
	r := &reach{}
	c := &cobra.Command{
		Use:   "watch TARGET [ID]",
		Short: "Look on at a session of yours on a target",
		Long: `Look on at a session without a part in it: nothing can be typed, and it is not
slowed; where it is too quick for this side, output is left out and that is said.
Whoever has the session is told that it is watched, unless its source says not to;
the audit trail has it either way.

An ID is what "sessions" lists, or the start of it (4 characters or more);
without one it is the only session that a client is attached to, or the only one.
A session can be watched with the key that opened it, and with no other. Leave
with q or Ctrl-C.

A connection that breaks is made again and goes on where it was; what cannot be
had any more is left out, and said.

The exit code is 0 when the session ended or you left, 1 when there is no such
session, and 255 when the connection failed or the agent refused.`,
		Example: `  agent watch myhost 3kGx`,
	}
	s.onSession(c, r, s.watch)
	return c
}

func (s *surroundings) watch(ctx context.Context, r *reach, target, prefix string) error {
	one, done, err := s.session(ctx, r, target, prefix, isAttached)
	if err != nil {
		return err
	}
	defer done()
	w, err := one.client.Watch(ctx, one.ID, s.outage(target, watchKeys, nil))
	if err == nil {
		defer w.Close()
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		if local, notTerminal := terminal.Open(s.stdin, s.stdout); notTerminal == nil {
			defer s.untilKey(local, func() { cancel(errLeft) })()
		}
		s.ui.note(watching, one.ID)
		err = s.copyWatched(ctx, w)
	}
	var lost *shellhttp.LostError
	if errors.As(err, &lost) && lost.Gone {
		s.ui.note(watchGone)
		return Exit(0)
	}
	if errors.Is(err, errLeft) || errors.Is(err, io.EOF) {
		return Exit(0)
	}
	var write *outputError
	if errors.As(err, &write) && isBrokenPipe(err) {
		return exitPipe
	}
	if exit, ok := exitOf(ctx); ok {
		return exit
	}
	return failWith(codeTransport, err)
}

// copyWatched shows what a session shows, until an error: io.EOF when it ended.
func (s *surroundings) copyWatched(ctx context.Context, w *shellhttp.Watch) error {
	screen := s.screen(math.MaxUint64) // nothing that is asked can be answered
	defer screen.leave()
	last := w.Info().From
	for {
		f, err := w.Next(ctx)
		if err != nil {
			return err
		}
		switch f.Type {
		case shell.FrameStdout, shell.FrameStderr:
			if _, err := screen.Write(f.Data); err != nil {
				return &outputError{err}
			}
		case shell.FrameGap:
			s.ui.note(skipped, f.End-last)
		case shell.FrameExit:
			var exit shell.Exit
			if json.Unmarshal(f.Data, &exit) == nil {
				s.ui.note(watchOver, exit.Code)
			}
		}
		last = f.End
	}
}

// untilKey makes the terminal raw, so that what the session asks of it is not
// answered into a shell, and calls leave when a key asks for that. The function
// it returns undoes all of it.
func (s *surroundings) untilKey(t *terminal.Terminal, leave func()) (undo func()) {
	s.ui.rawWhen(t.IsRaw)
	if err := t.Raw(); err != nil {
		s.ui.warn("cannot take the terminal: %v", err)
		return func() {}
	}
	input := t.Input()
	t.Go(func() {
		key := make([]byte, 64)
		for {
			n, err := input.Read(key)
			if err != nil {
				return
			}
			// More than one at once is an answer of the terminal, or a paste.
			if n == 1 && (key[0] == 'q' || key[0] == 'C'-64) {
				leave()
			}
		}
	})
	return func() {
		input.Close()
		t.Restore()
	}
}
