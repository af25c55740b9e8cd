package agent

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"shellagent/internal/handover"
	"shellagent/internal/version"
)

// probeName is what a running agent asks the program that replaced its own.
const probeName = "upgrade-probe"

// probeAnswer is what is printed. Its fields stay what they are for ever: agents
// of any age ask.
type probeAnswer struct {
	Version int      `json:"version"` // of this answer: 1
	Agent   string   `json:"agent"`
	Reads   []uint32 `json:"reads"` // versions of the state
}

// probeCommand is run by an agent of another version, and by nobody else.
func probeCommand() *cobra.Command {
	var path string
	var state bool
	cmd := &cobra.Command{
		Use:    probeName,
		Short:  "Tell a running agent whether this program can take its place",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := load(path); err != nil {
				return err
			}
			if state {
				if err := checkState(os.Stdin); err != nil {
					return fmt.Errorf("the running agent's state: %w", err)
				}
			}
			return writeJSON(cmd.OutOrStdout(), probeAnswer{1, version.String(), handover.Reads})
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().BoolVar(&state, "state", false, "read a state on standard input to its end, too")
	return cmd
}
