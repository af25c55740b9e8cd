package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"shellagent/internal/terminal"
	"shellagent/shell"
)

func attachCommand(s *surroundings) *cobra.Command {
	r := &reach{}
	c := &cobra.Command{
		Use:   "attach TARGET [ID]",
		Short: "Come back to a session of yours on a target",
		Long: `Come back to a session that was left with ~d, or take over one that another
client has: it is told, and leaves. An ID is what "sessions" lists, or the start
of it (4 characters or more); without one it is the only session that no client
is attached to, or else the only one.

The end of what the session had shown is shown again, up to 256 KiB, and a
program that fills the screen is asked to draw it anew.

A session without a client is kept for its source's linger, 60 s unless the
agent's owner allows longer.`,
		Example: `  agent attach myhost
  agent attach myhost 3kGx`,
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: completeTarget(s, r),
		RunE: func(cmd *cobra.Command, args []string) error {
			prefix := ""
			if len(args) == 2 {
				if prefix = args[1]; len(prefix) < minPrefix {
					return misuse("session %q: give at least %d characters of its id", prefix, minPrefix)
				}
			}
			defer catchBrokenPipe()()
			ctx, stop := untilSignal(cmd.Context())
			defer stop()
			return s.attach(ctx, r, args[0], prefix)
		},
	}
	r.register(c)
	return c
}

func (s *surroundings) attach(ctx context.Context, r *reach, target, prefix string) error {
	all, done, err := s.sessions(ctx, r, target)
	if err != nil {
		return err
	}
	defer done()
	one, err := toAttach(all, prefix)
	if err != nil {
		return failWith(codeLocal, err)
	}
	session, err := one.client.Attach(ctx, one.ID)
	if err != nil {
		if exit, ok := exitOf(ctx); ok {
			return exit
		}
		return failWith(codeTransport, err)
	}
	s.ui.debug("session %s from offset %d", one.ID, session.Info().From)
	local, err := terminal.Open(s.stdin, s.stdout)
	if err != nil || !session.Info().Terminal {
		return s.runOnPipes(ctx, s.lasting(session, target, nil), target, false)
	}
	session.Redraw(local.Size())
	return s.show(ctx, session, target, local, local.Size())
}

// toAttach is the session with an id that starts so, or the one that is meant
// when none is named.
func toAttach(all []owned, prefix string) (owned, error) {
	if prefix != "" {
		return find(all, prefix)
	}
	var waiting, running []owned
	for _, one := range all {
		if !one.Attached && !one.Ended {
			waiting = append(waiting, one)
		}
		if !one.Ended {
			running = append(running, one)
		}
	}
	// An ended one is still asked how it ended.
	for _, some := range [][]owned{waiting, running, all} {
		if len(some) == 1 {
			return some[0], nil
		}
	}
	if len(all) == 0 {
		return owned{}, errors.New("no session of yours is there")
	}
	return owned{}, errors.New(`which session? give the start of its id ("sessions" lists them)`)
}

func summaries(all []owned) []shell.SessionSummary {
	list := make([]shell.SessionSummary, 0, len(all))
	for _, one := range all {
		list = append(list, one.SessionSummary)
	}
	return list
}
