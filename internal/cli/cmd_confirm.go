package cli

import (
	"context"

	"github.com/spf13/cobra"

	"shellagent/shell/shellhttp"
)

func confirmCommand(s *surroundings) *cobra.Command {
	r := &reach{}
	c := &cobra.Command{
		Use:   "confirm [SOURCE] TARGET",
		Short: "Confirm a configuration that is on trial on a target",
		Long: `Say that a configuration which a target's owner put on trial may stay ("agent
reload --confirm" on the host): connect anew, and prove that your key opens the
source under it. Nothing is started.

The exit code is 0 when it stays, and 255 when the connection failed or the agent
refused, because your key does not open the source or nothing is on trial.`,
		Example: `  agent confirm debug myhost`,
		Args: func(_ *cobra.Command, args []string) error {
			_, _, err := addressArgs(args)
			return err
		},
		ValidArgsFunction: completeAddress(s, r),
		RunE: func(cmd *cobra.Command, args []string) error {
			source, target, err := addressArgs(args)
			if err != nil {
				return err
			}
			ctx, stop := untilSignal(cmd.Context())
			defer stop()
			return s.confirm(ctx, r, source, target)
		},
	}
	r.register(c)
	return c
}

func (s *surroundings) confirm(ctx context.Context, r *reach, source, target string) error {
	c, source, err := s.addressOf(r, target, source)
	if err != nil {
		return err
	}
	if err := c.settle(ctx); err != nil {
		return err
	}
	client, err := c.try(ctx, func(client *shellhttp.Client) error { return client.Confirm(ctx, source) })
	if err != nil {
		return err
	}
	client.Close()
	s.ui.note("confirmed: the configuration of %s stays", c.target.Name)
	return nil
}
