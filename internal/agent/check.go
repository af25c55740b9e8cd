package agent

import (
	"github.com/spf13/cobra"
)

func checkCommand() *cobra.Command {
	var path string
	var as bool
	cmd := &cobra.Command{
		Use:   "check [--as KEY SOURCE]",
		Short: "validate the agent's configuration and say what it allows",
		Example: `  agent check                                 # who may do what; exits 1 with file:line:column of every mistake
  agent check -c ./agent.json
  agent check --as ~/.ssh/id_ed25519.pub debug   # explain one decision`,
		Args: cobra.MaximumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error { return nil },
	}
	cmd.Flags().StringVarP(&path, "config", "c", defaultConfig, "the agent's configuration `FILE`")
	cmd.Flags().BoolVar(&as, "as", false, "explain what KEY (a public key, its file or its thumbprint) may do in SOURCE")
	return cmd
}
