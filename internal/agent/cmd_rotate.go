package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"shellagent/internal/door"
)

// rotateCommand is one of "keys".
func rotateCommand() *cobra.Command {
	var path string
	var finish, abort, asJSON bool
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Replace the host key of the agent on this host",
		Long: `Replace the host key of the agent on this host in two steps, so that no client has
to be asked again. Without a flag a next key is made, and from then on the agent
announces it to everybody who opens a session; clients keep it beside the one they
know. When those who matter have connected, --finish makes it the host key. Clients
that heard of it go on without a word and forget the one before; others refuse the
agent, as they refuse any host key that changed.

The key before stays in the state directory as host_key.previous until the next
rotation. --abort forgets the next key. When no agent runs, the files are changed
all the same.

A proxy that verifies the agent by its host certificate needs the next one before:
agent keys certificate FILE, where FILE is host_key.next in the state directory.`,
		Example: `  agent keys rotate
  agent keys rotate --finish`,
		Args: func(_ *cobra.Command, args []string) error {
			if finish && abort {
				return errors.New("--finish and --abort exclude each other")
			}
			if len(args) > 0 {
				return fmt.Errorf("%q is too much: the agent's configuration is named with -c", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := untilInterrupt(cmd.Context())
			defer stop()
			step := "begin"
			switch {
			case finish:
				step = "finish"
			case abort:
				step = "abort"
			}
			r, err := rotateAt(ctx, path, step)
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), r)
			}
			printRotation(cmd, step, r)
			return nil
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().BoolVar(&finish, "finish", false, "make the next key the host key")
	cmd.Flags().BoolVar(&abort, "abort", false, "forget the next key")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// rotateAt asks the agent, or takes the step itself when none runs.
func rotateAt(ctx context.Context, path, step string) (r rotation, err error) {
	dir, err := stateDirOf(path)
	if err != nil {
		return r, err
	}
	err = door.Ask(ctx, dir, door.Request{Rotate: &door.Rotate{Step: step}}, &r)
	if !errors.Is(err, door.ErrNoAgent) {
		return r, err
	}
	if _, statErr := os.Stat(dir); statErr != nil {
		return r, err // there is nothing to rotate
	}
	lock, err := openState(dir)
	if err != nil {
		return r, err
	}
	defer lock.Close()
	k, _, err := openHostKeys(dir)
	if err != nil {
		return r, err
	}
	err = k.step(step)
	return k.standing(), err
}

func printRotation(cmd *cobra.Command, step string, r rotation) {
	out := cmd.OutOrStdout()
	fmt.Fprintf(out, "host key  %s  %s\n", r.HostKey.Thumbprint, r.HostKey.Fingerprint)
	if r.Next != nil {
		fmt.Fprintf(out, "next      %s  %s\n", r.Next.Thumbprint, r.Next.Fingerprint)
	}
	switch {
	case step == "begin" && r.Running:
		note(cmd, "announced since %s; when those who matter have connected: agent keys rotate --finish", r.Since.Format(time.DateTime))
	case step == "begin":
		note(cmd, "no agent runs: the next start announces it")
	case step == "finish" && r.Running:
		note(cmd, "in use from now on; who did not hear of it will refuse this agent until told the fingerprint")
	case step == "finish":
		note(cmd, "no agent runs: the next start uses it")
	default:
		note(cmd, "the next key is forgotten")
	}
}
