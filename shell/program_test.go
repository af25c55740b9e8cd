package shell

import (
	"io"
	"slices"
	"sync"
	"time"
)

// fakeProgram is a program on pipes in memory, told what to do by a test.
type fakeProgram struct {
	in, out, err pipe
	exit         chan Exit
	stubborn     bool // ignores HUP until the grace is over
	holdsOutput  bool // something else holds the outputs when it ends

	echo Echo

	mu      sync.Mutex
	hangUps int
	closed  bool
	shut    int // how often input was ended
	signals []string
	sizes   []Winsize
}

type pipe struct {
	r *io.PipeReader
	w *io.PipeWriter
}

func newFakeProgram() *fakeProgram {
	p := &fakeProgram{exit: make(chan Exit, 4)}
	for _, q := range []*pipe{&p.in, &p.out, &p.err} {
		q.r, q.w = io.Pipe()
	}
	return p
}

var _ Program = (*fakeProgram)(nil)

// fakeStdin counts how often input is ended.
type fakeStdin struct{ p *fakeProgram }

func (w fakeStdin) Write(b []byte) (int, error) { return w.p.in.w.Write(b) }

func (w fakeStdin) Close() error {
	w.p.mu.Lock()
	defer w.p.mu.Unlock()
	w.p.shut++
	return w.p.in.w.Close()
}

func (p *fakeProgram) Stdin() io.WriteCloser { return fakeStdin{p} }

func (p *fakeProgram) Output(t FrameType) io.Reader {
	if t == FrameStdout {
		return p.out.r
	}
	if p.err.r == nil {
		return nil
	}
	return p.err.r
}

func (p *fakeProgram) Resize(w Winsize) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sizes = append(p.sizes, w)
	return nil
}

func (p *fakeProgram) Signal(name string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.signals = append(p.signals, name)
	return nil
}

func (p *fakeProgram) sent() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.signals)
}

func (p *fakeProgram) Echo() Echo {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.echo
}

func (p *fakeProgram) Wait() Exit { return <-p.exit }

// end lets the program end, with its outputs.
func (p *fakeProgram) end(e Exit) {
	if !p.holdsOutput {
		p.out.w.Close()
		if p.err.w != nil {
			p.err.w.Close()
		}
	}
	p.exit <- e
}

func (p *fakeProgram) HangUp(grace time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hangUps++; p.hangUps > 1 {
		panic("hung up twice")
	}
	if p.stubborn {
		time.AfterFunc(grace, func() { p.end(Exit{Code: 137, Signal: "KILL"}) })
		return
	}
	p.end(Exit{Code: 129, Signal: "HUP"})
}

func (p *fakeProgram) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		panic("closed twice")
	}
	p.closed = true
	for _, q := range []pipe{p.in, p.out, p.err} {
		if q.r != nil {
			q.r.Close()
			q.w.Close()
		}
	}
}
