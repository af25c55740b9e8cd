package shellhttp

import (
	"fmt"
	"io"
	"sync"
	"time"

	"shellagent/shell"
)

// script is a program of the tests: what it does with its streams, and its
// exit status.
type script func(p *memProgram) int

// memProgram runs a script as a session's program, without a host.
type memProgram struct {
	terminal bool
	in       *io.PipeReader
	inW      *io.PipeWriter
	out, err *io.PipeReader
	outW     *io.PipeWriter
	errW     *io.PipeWriter
	signals  chan string
	sizes    chan shell.Winsize
	hung     chan struct{}
	hangUp   sync.Once
	exit     chan shell.Exit
}

var _ shell.Program = (*memProgram)(nil)

func startScript(run script, terminal bool) *memProgram {
	p := &memProgram{
		terminal: terminal, signals: make(chan string, 32), sizes: make(chan shell.Winsize, 32),
		hung: make(chan struct{}), exit: make(chan shell.Exit, 1),
	}
	p.in, p.inW = io.Pipe()
	p.out, p.outW = io.Pipe()
	p.err, p.errW = io.Pipe()
	go func() {
		code := run(p)
		select {
		case <-p.hung:
			p.exit <- shell.Exit{Code: 129, Signal: "HUP"}
		default:
			p.exit <- shell.Exit{Code: code}
		}
		p.outW.Close()
		p.errW.Close()
		p.in.Close()
	}()
	return p
}

func (p *memProgram) Stdin() io.WriteCloser { return p.inW }

func (p *memProgram) Output(t shell.FrameType) io.Reader {
	switch {
	case t == shell.FrameStdout:
		return p.out
	case p.terminal:
		return nil
	default:
		return p.err
	}
}

func (p *memProgram) Resize(w shell.Winsize) error { p.sizes <- w; return nil }
func (p *memProgram) Signal(name string) error     { p.signals <- name; return nil }
func (p *memProgram) Wait() shell.Exit             { return <-p.exit }

func (p *memProgram) HangUp(time.Duration) {
	p.hangUp.Do(func() {
		close(p.hung)
		p.in.CloseWithError(io.EOF)
		p.outW.Close()
		p.errW.Close()
	})
}

func (p *memProgram) Close() {
	p.in.Close()
	p.out.Close()
	p.err.Close()
}

// The scripts.

func catScript(p *memProgram) int {
	io.Copy(p.outW, p.in)
	return 0
}

func waitScript(p *memProgram) int {
	<-p.hung
	return 0
}

// sayScript prints to both outputs and exits.
func sayScript(out, err string, code int) script {
	return func(p *memProgram) int {
		io.WriteString(p.outW, out)
		io.WriteString(p.errW, err)
		return code
	}
}

// reportScript prints sizes and signals as they come, until TERM.
func reportScript(p *memProgram) int {
	for {
		select {
		case w := <-p.sizes:
			fmt.Fprintf(p.outW, "%dx%d\n", w.Cols, w.Rows)
		case s := <-p.signals:
			fmt.Fprintf(p.outW, "%s\n", s)
			if s == "TERM" {
				return 0
			}
		case <-p.hung:
			return 1
		}
	}
}
