package agent

import (
	"github.com/spf13/cobra"

	"shellagent/internal/front"
)

// frontCommand is started by listen and by nobody else.
func frontCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "front",
		Short:  "Serve HTTP for listen, without privileges",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE:   func(cmd *cobra.Command, _ []string) error { return front.Run(cmd.Context()) },
	}
}
