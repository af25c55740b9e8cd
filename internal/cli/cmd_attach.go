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
	}
	var cover coverFlag
	s.onSession(c, r, func(ctx context.Context, r *reach, target, prefix string) error {
		if err := cover.check(); err != nil {
			return err
		}
		r.cover = cover.on()
		return s.attach(ctx, r, target, prefix, cover)
	})
	cover.register(c)
	return c
}

// onSession completes a command about one session of a target: TARGET [ID].
func (s *surroundings) onSession(c *cobra.Command, r *reach, run func(ctx context.Context, r *reach, target, prefix string) error) {
	c.Args = cobra.RangeArgs(1, 2)
	c.ValidArgsFunction = completeTarget(s, r)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		prefix, err := optionalID(args)
		if err != nil {
			return err
		}
		defer catchBrokenPipe()()
		ctx, stop := untilSignal(cmd.Context())
		defer stop()
		return run(ctx, r, args[0], prefix)
	}
	r.register(c)
}

// optionalID is the start of an id after a target, or "".
func optionalID(args []string) (string, error) {
	if len(args) < 2 {
		return "", nil
	}
	if len(args[1]) < minPrefix {
		return "", misuse("session %q: give at least %d characters of its id", args[1], minPrefix)
	}
	return args[1], nil
}

// session finds the session that is meant; see pick. done closes its client.
func (s *surroundings) session(ctx context.Context, r *reach, target, prefix string, preferred func(owned) bool) (one owned, done func(), err error) {
	all, done, err := s.sessions(ctx, r, target)
	if err != nil {
		return one, nil, err
	}
	if one, err = pick(all, prefix, preferred); err != nil {
		done()
		return one, nil, failWith(codeLocal, err)
	}
	return one, done, nil
}

func (s *surroundings) attach(ctx context.Context, r *reach, target, prefix string, cover coverFlag) error {
	one, done, err := s.session(ctx, r, target, prefix, isDetached)
	if err != nil {
		return err
	}
	defer done()
	session, err := one.client.Attach(ctx, one.ID)
	if err != nil {
		if exit, ok := exitOf(ctx); ok {
			return exit
		}
		return failWith(codeTransport, err)
	}
	s.ui.debug("session %s from offset %d", one.ID, session.Info().From)
	if err := cover.settle(s.ui, session.Info()); err != nil {
		_ = session.Detach()
		return err
	}
	local, err := terminal.Open(s.stdin, s.stdout)
	if err != nil || !session.Info().Terminal {
		return s.runOnPipes(ctx, s.lasting(session, target, nil), target, inputLater)
	}
	session.Redraw(local.Size())
	info := session.Info()
	return s.show(ctx, session, target, local, local.Size(), info.End-min(info.End, info.From))
}

// pick is the session with an id that starts so. When none is named it is the
// one that is meant: the only one that is preferred, else that runs, else that
// there is, which is still asked how it ended.
func pick(all []owned, prefix string, preferred func(owned) bool) (owned, error) {
	if prefix != "" {
		return find(all, prefix)
	}
	var first, running []owned
	for _, one := range all {
		if !one.Ended && preferred(one) {
			first = append(first, one)
		}
		if !one.Ended {
			running = append(running, one)
		}
	}
	for _, some := range [][]owned{first, running, all} {
		if len(some) == 1 {
			return some[0], nil
		}
	}
	if len(all) == 0 {
		return owned{}, errors.New("no session of yours is there")
	}
	return owned{}, errors.New(`which session? give the start of its id ("sessions" lists them)`)
}

func isDetached(one owned) bool { return !one.Attached }
func isAttached(one owned) bool { return one.Attached }

func summaries(all []owned) []shell.SessionSummary {
	list := make([]shell.SessionSummary, 0, len(all))
	for _, one := range all {
		list = append(list, one.SessionSummary)
	}
	return list
}
