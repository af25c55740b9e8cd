package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// minPrefix is how much of a session's id must be given.
const minPrefix = 4

func killCommand(s *surroundings) *cobra.Command {
	r := &reach{}
	c := &cobra.Command{
		Use:   "kill TARGET ID…",
		Short: "End sessions on a target",
		Long: `End sessions on a target: their programs get a hang-up, then a kill. An ID is
what "sessions" lists, or the start of it (4 characters or more).

The exit code is 0 when all were ended, and 1 when one was not found.`,
		Example:           `  agent kill myhost 3kGx`,
		Args:              cobra.MinimumNArgs(2),
		ValidArgsFunction: completeTarget(s, r),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, id := range args[1:] {
				if len(id) < minPrefix {
					return misuse("session %q: give at least %d characters of its id", id, minPrefix)
				}
			}
			ctx, stop := untilSignal(cmd.Context())
			defer stop()
			return s.kill(ctx, r, args[0], args[1:])
		},
	}
	r.register(c)
	return c
}

func (s *surroundings) kill(ctx context.Context, r *reach, address string, ids []string) error {
	all, done, err := s.sessions(ctx, r, address)
	if err != nil {
		return err
	}
	defer done()
	missing := 0
	for _, id := range ids {
		one, err := find(all, id)
		if err == nil {
			err = one.client.Kill(ctx, one.ID)
		}
		if exit, ok := exitOf(ctx); ok {
			return exit
		}
		if err != nil {
			s.ui.fail(err)
			missing++
			continue
		}
		s.ui.note("ended %s", one.ID)
	}
	if missing > 0 {
		return Exit(codeLocal)
	}
	return nil
}

// find returns the one session whose id starts so.
func find(all []owned, prefix string) (owned, error) {
	var found []owned
	for _, one := range all {
		if strings.HasPrefix(one.ID, prefix) {
			found = append(found, one)
		}
	}
	switch len(found) {
	case 0:
		return owned{}, fmt.Errorf("no session %s of yours: it has ended, or another key opened it", prefix)
	case 1:
		return found[0], nil
	default:
		return owned{}, fmt.Errorf("%s that start with %s: give more of the id", plural(len(found), "session", "sessions"), prefix)
	}
}
