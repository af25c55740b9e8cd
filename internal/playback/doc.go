// Package playback holds the commands that look at what was recorded: replay,
// export, verify and log. They need no agent; whoever may read the file may use them.
package playback

import "github.com/spf13/cobra"

// Commands returns the commands.
func Commands() []*cobra.Command {
	return []*cobra.Command{replayCommand(), exportCommand(), verifyCommand(), logCommand()}
}
