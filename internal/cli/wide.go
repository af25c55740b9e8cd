package cli

import (
	"io"
	"os"

	"shellagent/internal/bulk"
)

// wideFile is a file that holds more, if it is a pipe, once much has gone
// through it.
type wideFile struct {
	*os.File
	much bulk.Pipe
}

func widened(f *os.File) io.ReadWriter { return &wideFile{File: f} }

// Read implements [io.Reader].
func (f *wideFile) Read(p []byte) (int, error) {
	n, err := f.File.Read(p)
	f.much.Moved(n, f.File)
	return n, err
}

// Write implements [io.Writer].
func (f *wideFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	f.much.Moved(n, f.File)
	return n, err
}
