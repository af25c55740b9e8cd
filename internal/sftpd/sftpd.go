// Package sftpd serves files by SFTP, version 3 (draft-ietf-secsh-filexfer-02),
// with the extensions that OpenSSH's clients use. It runs in a process of its own
// as the user whose files they are, which is what protects them; what a source
// allows less than that user may, reading alone or some directories alone, is kept
// here.
//
// Limits to directories are kept by file descriptors ([os.Root]): no name, no
// symbolic link and no exchange of one while it is followed leads out of them. A
// link that leads out can be made and shown, and is not followed; nor is an
// absolute one, wherever it leads.
package sftpd

import (
	"errors"
	"io"

	"github.com/pkg/sftp"

	"shellagent/internal/within"
	"shellagent/shell"
)

// Serve answers requests from in on out until in ends. What is relative is below
// start, or below the first of the rights' paths when start is in none of them. An
// error says why it ended before.
func Serve(in io.Reader, out io.WriteCloser, rights shell.Files, start string) error {
	s, err := newServer(rights)
	if err != nil {
		return err
	}
	defer s.tree.Close()
	if !rights.Has(start) {
		start = rights.Paths[0]
	}
	s.start = start
	server := sftp.NewRequestServer(newGate(in, out, s.answer), sftp.Handlers{FileGet: s, FilePut: s, FileCmd: s, FileList: s},
		sftp.WithStartDirectory(start), sftp.WithRSMaxTxPacket(maxData))
	if err := server.Serve(); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// server implements the handlers of package sftp.
type server struct {
	tree     tree
	readOnly bool
	start    string
}

var (
	_ sftp.FileReader           = (*server)(nil)
	_ sftp.OpenFileWriter       = (*server)(nil)
	_ sftp.PosixRenameFileCmder = (*server)(nil)
	_ sftp.StatVFSFileCmder     = (*server)(nil)
	_ sftp.LstatFileLister      = (*server)(nil)
	_ sftp.RealPathFileLister   = (*server)(nil)
	_ sftp.ReadlinkFileLister   = (*server)(nil)
)

func newServer(rights shell.Files) (*server, error) {
	s := &server{readOnly: rights.ReadOnly, tree: whole{}}
	if rights.Paths == nil {
		return s, nil
	}
	t, err := within.Open(rights.Paths)
	s.tree = t
	return s, err
}
