// Package agent holds the commands of the agent on a host — listen, check, what
// its operator asks it there, and the front that listen starts — and puts the agent together from its packages.
package agent

import "github.com/spf13/cobra"

// Commands returns the agent's commands, for the binary and its man pages.
func Commands() []*cobra.Command {
	return []*cobra.Command{setupCommand(), listenCommand(), checkCommand(), reloadCommand(), statusCommand(), frontCommand(), sftpCommand(), copyCommand(), forwardCommand(), probeCommand()}
}
