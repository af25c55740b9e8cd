// Command agent is Shell Agent: the agent on a host and the client in one
// binary.
package main

import (
	"os"

	"github.com/spf13/cobra"

	"shellagent/internal/agent"
	"shellagent/internal/cli"
	"shellagent/internal/playback"
)

var program = cli.Program{
	Name:   "agent",
	Short:  "a shell on any host over plain HTTPS",
	More:   []func() []*cobra.Command{agent.Commands, playback.Commands},
	Extend: agent.Extend,
}

func main() { os.Exit(run()) }

func run() int { return cli.Run(cli.Args(os.Args), program) }
