package playback

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"shellagent/record"
)

func exportCommand() *cobra.Command {
	e := &exporting{}
	cmd := &cobra.Command{
		Use:   "export FILE",
		Short: "Write a recording as an asciicast",
		Long: `Write a recording as an asciicast of version 2, for asciinema, or 3, to standard
output or a file. A recording that was cut off, because the agent was killed or
the session still goes on, is exported as far as it goes.

It does not ask whether the recording is what was written: see verify.`,
		Example: `  agent export 2030/01/02/SESSION.cast.zst | asciinema play -
  agent export --format 3 -o demo.cast SESSION.cast.zst
  agent export -i audit.key SESSION.cast.age > secret.cast`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return e.run(cmd, args[0]) },
	}
	cmd.Flags().IntVar(&e.format, "format", 2, "the asciicast's `VERSION`, 2 or 3")
	cmd.Flags().StringVarP(&e.out, "output", "o", "", "write `FILE` instead of standard output")
	cmd.Flags().BoolVar(&e.keepStderr, "keep-stderr", false, `leave output of stderr marked "e", which players pass over`)
	identityFlag(cmd, &e.identity)
	return cmd
}

type exporting struct {
	format        int
	out, identity string
	keepStderr    bool
}

func (e *exporting) run(cmd *cobra.Command, path string) error {
	f, err := newFile(path, e.identity)
	if err != nil {
		return err
	}
	r, in, err := f.open(nil)
	if err != nil {
		return err
	}
	defer in.Close()
	write := func(w io.Writer) error {
		o := record.ExportOptions{Version: e.format, Identities: f.identities, KeepStderr: e.keepStderr}
		if err := record.Export(w, r, o); err != nil {
			return f.cutNote(cmd, err)
		}
		return nil
	}
	if e.out == "" {
		return write(cmd.OutOrStdout())
	}
	return replaceFile(e.out, write)
}

// replaceFile writes beside the file and renames: there is the old one or a
// whole new one.
func replaceFile(path string, write func(io.Writer) error) error {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		out, err := os.OpenFile(path, os.O_WRONLY, 0) // a pipe or /dev/stdout
		if err != nil {
			return err
		}
		return errors.Join(write(out), out.Close())
	}
	out, err := os.OpenFile(path+".part", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(write(out), out.Close()); err != nil {
		return errors.Join(err, os.Remove(out.Name()))
	}
	if err := os.Rename(out.Name(), path); err != nil {
		return fmt.Errorf("put %s in place: %w", path, err)
	}
	return nil
}
