package agent

import (
	"os"

	"github.com/spf13/cobra"

	"shellagent/internal/cli"
	"shellagent/internal/sftpd"
	"shellagent/shell"
)

// The commands that serve files. They are started as a session's program and by
// nobody else.
const (
	sftpName = "sftp-server"
	copyName = "copy-server"
)

// servesFiles is a grant of files as the program that serves them: this one, by
// the name that the kernel has for it, so that neither PATH nor a replaced file
// gets between.
func servesFiles(g shell.Grant, subsystem string) shell.Grant {
	g.Path = running
	g.Argv = []string{"agent", sftpName}
	if subsystem == shell.SubsystemCopy {
		g.Argv[1] = copyName
	}
	if g.Files.ReadOnly {
		g.Argv = append(g.Argv, "--read-only")
	}
	for _, p := range g.Files.Paths {
		g.Argv = append(g.Argv, "--path="+p)
	}
	return g
}

func sftpCommand() *cobra.Command {
	var rights shell.Files
	cmd := &cobra.Command{
		Use:    sftpName,
		Short:  "Serve files by SFTP on standard input and output, for listen",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			start, err := os.Getwd()
			if err != nil {
				start = "/"
			}
			if err := sftpd.Serve(os.Stdin, os.Stdout, rights, start); err != nil {
				return err
			}
			return cli.Exit(0)
		},
	}
	registerRights(cmd, &rights)
	return cmd
}

func registerRights(cmd *cobra.Command, rights *shell.Files) {
	cmd.Flags().BoolVar(&rights.ReadOnly, "read-only", false, "change nothing")
	cmd.Flags().StringArrayVar(&rights.Paths, "path", nil, "serve what is in or below `DIRECTORY`, and nothing else")
}
