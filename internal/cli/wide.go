package cli

import (
	"io"
	"io/fs"
	"os"

	"shellagent/internal/bulk"
	"shellagent/internal/rawio"
)

// wideFile is a file that holds more, if it is a pipe, once much has gone
// through it.
type wideFile struct {
	*os.File
	much bulk.Pipe
}

func widened(f *os.File) io.Writer { return &wideFile{File: f} }

// Write implements [io.Writer].
func (f *wideFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	f.much.Moved(n, f.File)
	return n, err
}

// input is a file that is read from, and made to hold more as [wideFile] is.
type input struct {
	file *os.File
	in   io.ReadCloser
	much bulk.Pipe
}

// openInput returns f to be read. A pipe is opened a second time, so that it can be
// read without telling Go's scheduler of each read, which costs as much as a small one.
func openInput(f *os.File) *input {
	i := &input{file: f, in: io.NopCloser(f)}
	if info, err := f.Stat(); err == nil && info.Mode()&fs.ModeNamedPipe != 0 {
		if again, err := rawio.OpenAgain(f, os.O_RDONLY); err == nil {
			i.in = rawio.NewFile(again)
		}
	}
	return i
}

// Read implements [io.Reader].
func (i *input) Read(p []byte) (int, error) {
	n, err := i.in.Read(p)
	i.much.Moved(n, i.file)
	return n, err
}

// Close leaves the file open.
func (i *input) Close() error { return i.in.Close() }
