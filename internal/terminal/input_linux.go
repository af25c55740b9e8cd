package terminal

import (
	"io"
	"os"

	"shellagent/internal/rawio"
)

// openInput opens the terminal a second time. The new description is
// non-blocking on its own, so that the runtime waits for keys with everything
// else (a read that blocks a thread made each echo 12 ms) and Close wakes a
// Read, while the shell that shares the old description notices nothing.
func openInput(in *os.File) io.ReadCloser {
	again, err := rawio.OpenAgain(in, os.O_RDONLY)
	if err != nil {
		// After su the terminal may belong to somebody else: read it as it is.
		return io.NopCloser(in)
	}
	return rawio.NewFile(again)
}

// OpenOutput opens the terminal that out is a second time, in the same way, for
// who writes to it all the time. Closing it leaves out open.
func OpenOutput(out *os.File) io.WriteCloser {
	if Is(out) {
		if again, err := rawio.OpenAgain(out, os.O_WRONLY); err == nil {
			return &output{out: out, prompt: rawio.NewFile(again)}
		}
	}
	return keptOpen{out}
}

// output writes what is small, an echo, by the second description. What is more
// than a terminal's queue holds is written at less expense by a thread that waits.
type output struct {
	out    *os.File
	prompt io.WriteCloser
}

// smallOutput is what fits a terminal's queue, in bytes.
const smallOutput = 1 << 10

// Write implements [io.Writer].
func (o *output) Write(p []byte) (int, error) {
	if len(p) > smallOutput {
		return o.out.Write(p)
	}
	return o.prompt.Write(p)
}

// Close implements [io.Closer].
func (o *output) Close() error { return o.prompt.Close() }
