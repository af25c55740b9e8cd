package agent

import (
	"context"
	"io/fs"
	"os"
	"path"

	"github.com/spf13/cobra"

	"shellagent/internal/bulk"
	"shellagent/internal/cli"
	"shellagent/internal/copying"
	"shellagent/internal/within"
	"shellagent/shell"
)

// copyCommand is the far side of cp.
func copyCommand() *cobra.Command {
	var rights shell.Files
	cmd := &cobra.Command{
		Use:    copyName,
		Short:  "Send or receive files on standard input and output, for listen",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := serveCopy(cmd.Context(), rights); err != nil {
				return err
			}
			return cli.Exit(0)
		},
	}
	registerRights(cmd, &rights)
	return cmd
}

func serveCopy(ctx context.Context, rights shell.Files) error {
	start, err := os.Getwd()
	if err != nil {
		start = "/"
	}
	served := copying.Served{Place: copying.Everywhere{}, ReadOnly: rights.ReadOnly, Home: os.Getenv("HOME")}
	if rights.Paths != nil {
		roots, err := within.Open(rights.Paths)
		if err != nil {
			return err
		}
		defer roots.Close()
		served.Place = limited{roots}
		if !rights.Has(start) {
			start = rights.Paths[0]
		}
	}
	served.Start = start
	return copying.Serve(ctx, &wide{File: os.Stdin}, &wide{File: os.Stdout}, served)
}

// limited has names cleaned before roots see them: of "..", as SFTP does, by the
// names alone.
type limited struct{ roots *within.Roots }

var _ copying.Place = limited{}

// OpenFile implements [copying.Place].
func (l limited) OpenFile(name string, flag int, perm fs.FileMode) (*os.File, error) {
	return l.roots.OpenFile(path.Clean(name), flag, perm)
}

// Stat implements [copying.Place].
func (l limited) Stat(name string) (fs.FileInfo, error) { return l.roots.Stat(path.Clean(name)) }

// Lstat implements [copying.Place].
func (l limited) Lstat(name string) (fs.FileInfo, error) { return l.roots.Lstat(path.Clean(name)) }

// wide is a pipe that is made to hold more once much goes through it.
type wide struct {
	*os.File
	much bulk.Pipe
}

// Read implements [io.Reader].
func (w *wide) Read(p []byte) (int, error) {
	n, err := w.File.Read(p)
	w.much.Moved(n, w.File)
	return n, err
}

// Write implements [io.Writer].
func (w *wide) Write(p []byte) (int, error) {
	n, err := w.File.Write(p)
	w.much.Moved(n, w.File)
	return n, err
}
