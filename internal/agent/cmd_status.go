package agent

import (
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"shellagent/internal/cli"
	"shellagent/internal/door"
)

func statusCommand() *cobra.Command {
	var path string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say how the agent on this host is",
		Long: `Say how the agent that runs on this host is: which configuration is in force since
when, whether the files say something else by now, whether it is on trial, whether
another program waits to take over, the host key, how many sessions there are, and
whether the audit trail is written and every sink takes it, with its last error.

The exit code is 1 when no agent runs, or when its files are not in force.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := untilInterrupt(cmd.Context())
			defer stop()
			var s status
			if err := ask(ctx, path, door.Request{Status: &door.Status{}}, &s); err != nil {
				return err
			}
			if asJSON {
				if err := writeJSON(cmd.OutOrStdout(), s); err != nil {
					return err
				}
			} else {
				printStatus(cmd, s)
			}
			if s.Apart != "" {
				return cli.Exit(1)
			}
			return nil
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printStatus(cmd *cobra.Command, s status) {
	table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	defer table.Flush()
	row := func(name, format string, args ...any) {
		fmt.Fprintf(table, "%s\t%s\n", name, cli.Clean(fmt.Sprintf(format, args...)))
	}
	row("agent", "%s, process %d", s.Agent, s.PID)
	if s.Program != nil {
		row("", "%s", s.Program.refusal())
	}
	row("configuration", "%s, in force since %s", s.Config, s.Since.Format(time.DateTime))
	if s.Apart != "" {
		row("", "NOT WHAT THE FILES SAY: %s", s.Apart)
	}
	if t := s.Trial; t != nil && t.State == "waiting" {
		row("trial", "until %s, unless somebody confirms it", t.Until.Format(time.DateTime))
	} else if t != nil {
		row("trial", "the last one was %s%s", t.State, by(t.By))
	}
	row("host key", "%s", s.Keys.HostKey.Thumbprint)
	if next := s.Keys.Next; next != nil {
		row("", "%s comes next, announced since %s", next.Thumbprint, s.Keys.Since.Format(time.DateTime))
	}
	row("sources", "%d", len(s.Sources))
	row("sessions", "%d, %d of them recorded", s.Sessions, s.Recordings)
	printAuditStatus(row, s.Audit, time.Now())
}

func by(who string) string {
	if who == "" {
		return ""
	}
	return " by " + who
}
