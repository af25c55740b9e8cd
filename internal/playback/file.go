package playback

import (
	"errors"
	"fmt"
	"os"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"shellagent/internal/cli"
	"shellagent/record"
)

// file is a recording to look at, and what it takes to read it.
type file struct {
	path       string
	identities []age.Identity
}

// identityFlag adds the flag of commands that read what may be encrypted.
func identityFlag(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVarP(path, "identity", "i", "", "decrypt with the age identity in `FILE`, as age-keygen makes it")
	_ = cmd.MarkFlagFilename("identity")
}

func newFile(path, identity string) (*file, error) {
	f := &file{path: path}
	if identity == "" {
		return f, nil
	}
	in, err := os.Open(identity)
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	defer in.Close()
	if f.identities, err = age.ParseIdentities(in); err != nil {
		return nil, fmt.Errorf("identity %s: %w", identity, err)
	}
	return f, nil
}

// open begins to read. The caller closes what it got.
func (f *file) open(known record.Knower) (*record.Reader, *os.File, error) {
	in, err := os.Open(f.path)
	if err != nil {
		return nil, nil, err
	}
	r, err := record.NewReader(in, known)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("%s: %w", f.path, err), in.Close())
	}
	return r, in, nil
}

// cutNote tells of a recording that just ends; it is no error to someone who
// wants to see what there is.
func (f *file) cutNote(cmd *cobra.Command, err error) error {
	var d *record.Damage
	if !errors.As(err, &d) || !errors.Is(d, record.ErrCut) {
		return fmt.Errorf("%s: %w", f.path, err)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s ends %v after the start, before the session's end: it still goes on, or the agent was killed\n",
		cmd.Root().Name(), cli.Clean(f.path), d.At)
	return nil
}
