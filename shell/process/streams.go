package process

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"shellagent/internal/bulk"
	"shellagent/internal/rawio"
	"shellagent/shell"
)

// streams are a program's input and output: a terminal or three pipes.
type streams interface {
	// childEnds are what the child gets as its descriptors 0, 1 and 2.
	childEnds() childEnds
	// closeChildEnds releases the agent's hold on them, once the child has its own.
	closeChildEnds()
	// ttyName is the terminal's file, "" for pipes.
	ttyName() string
	// say writes to where the person reads errors, before the child starts.
	say(text string)

	stdin() io.WriteCloser
	output(shell.FrameType) io.Reader
	// programEnded is called once the program itself was reaped.
	programEnded()
	// cutOff makes the outputs end, whoever still holds them.
	cutOff()
	// suspend makes input return shell.ErrSuspended until it is undone.
	suspend(bool)
	close()
}

type childEnds struct {
	files    []*os.File
	terminal bool
}

func (h *Host) openStreams(term *shell.Terminal, c shell.Credential) (streams, error) {
	if term == nil {
		return openPipes(c)
	}
	return h.openTerminal(term.Winsize, c)
}

// pipes are the streams of a program without a terminal.
type pipes struct {
	in                          pipeInput // the agent's ends
	out, err                    output
	childIn, childOut, childErr *os.File
}

func openPipes(c shell.Credential) (*pipes, error) {
	p := &pipes{}
	var errs [3]error
	p.childIn, p.in.File, errs[0] = os.Pipe()
	p.childOut, errs[1] = p.out.pipe()
	p.childErr, errs[2] = p.err.pipe()
	if err := errors.Join(errs[:]...); err != nil {
		p.closeChildEnds()
		p.close()
		return nil, fmt.Errorf("open pipes for the program: %w (raise the agent's limit of open files)", err)
	}
	for _, f := range []*os.File{p.childIn, p.childOut, p.childErr} {
		// As under sshd, the user may open /dev/stderr. Without the right to give
		// files away a program has its streams all the same.
		_ = f.Chown(int(c.UID), -1)
	}
	return p, nil
}

// pipe opens the output on a new pipe and returns the child's end.
func (o *output) pipe() (child *os.File, err error) {
	own, child, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	return child, o.open(own)
}

func (p *pipes) childEnds() childEnds {
	return childEnds{files: []*os.File{p.childIn, p.childOut, p.childErr}}
}

// Closing a nil file is an error that says nothing here.
func (p *pipes) closeChildEnds() {
	_ = p.childIn.Close()
	_ = p.childOut.Close()
	_ = p.childErr.Close()
}

func (p *pipes) close() {
	_ = p.in.Close()
	_ = p.out.file.Close()
	_ = p.err.file.Close()
}

func (p *pipes) ttyName() string { return "" }

// say never blocks: the pipe is empty and holds more than a line.
func (p *pipes) say(text string) { _, _ = io.WriteString(p.childErr, text) }

func (p *pipes) stdin() io.WriteCloser { return &p.in }

// pipeInput writes what the program reads.
type pipeInput struct {
	*os.File
	to   io.Writer // the File, see rawio; nil before the first Write
	much bulk.Pipe
}

// Write implements [io.Writer].
func (in *pipeInput) Write(p []byte) (int, error) {
	if in.to == nil {
		in.to = rawio.NewFile(in.File)
	}
	n, err := in.to.Write(p)
	in.much.Moved(n, in.File)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = shell.ErrSuspended
	}
	return n, err
}

func (p *pipes) suspend(on bool) { suspendWrites(p.in.File, on) }

// suspendWrites makes writes fail with os.ErrDeadlineExceeded, also those that
// wait. A closed file is left as it is.
func suspendWrites(f *os.File, on bool) {
	var deadline time.Time
	if on {
		deadline = time.Unix(1, 0)
	}
	_ = f.SetWriteDeadline(deadline)
}

// programEnded leaves the pipes open: what the program left behind may still
// write to them, and is waited for, as sshd does.
func (p *pipes) programEnded() {}

func (p *pipes) cutOff() {
	p.out.cutOff()
	p.err.cutOff()
}

func (p *pipes) output(t shell.FrameType) io.Reader {
	switch t {
	case shell.FrameStdout:
		return &p.out
	case shell.FrameStderr:
		return &p.err
	default:
		return nil
	}
}

// dupNonblocking returns a descriptor of its own that the runtime's poller
// watches, or nil.
func dupNonblocking(fd int, name string) *os.File {
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil
	}
	if err := unix.SetNonblock(dup, true); err != nil {
		_ = unix.Close(dup)
		return nil
	}
	return os.NewFile(uintptr(dup), name)
}
