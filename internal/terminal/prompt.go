package terminal

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"

	"golang.org/x/term"
)

// maxAnswer bounds a line that a person types, in bytes.
const maxAnswer = 1024

// Prompt asks the person through the controlling terminal, whatever the
// standard streams are.
type Prompt struct {
	in, out *os.File
	close   func()
}

// OpenPrompt opens the controlling terminal. It fails with [ErrNotTerminal]
// when nobody is there to be asked.
func OpenPrompt() (*Prompt, error) {
	in, out, err := openConsole()
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrNotTerminal, err)
	}
	return &Prompt{in: in, out: out, close: func() {
		in.Close()
		if out != in {
			out.Close()
		}
	}}, nil
}

// CanAsk reports whether somebody is there to be asked.
func CanAsk() bool {
	p, err := OpenPrompt()
	if err != nil {
		return false
	}
	p.Close()
	return true
}

// Close gives the terminal back.
func (p *Prompt) Close() { p.close() }

// Show writes text as it is.
func (p *Prompt) Show(text string) error {
	_, err := io.WriteString(p.out, text)
	return err
}

// Line writes question and reads one line, without its end. It returns early
// with ctx's error.
func (p *Prompt) Line(ctx context.Context, question string) (string, error) {
	if err := p.Show(question); err != nil {
		return "", err
	}
	line, err := p.await(ctx, p.read)
	return string(line), err
}

// Secret is [Prompt.Line] without echo.
func (p *Prompt) Secret(ctx context.Context, question string) ([]byte, error) {
	if err := p.Show(question); err != nil {
		return nil, err
	}
	secret, err := p.await(ctx, func() ([]byte, error) {
		if err := withFD(p.in, hideTyping); err != nil {
			return nil, err
		}
		return p.read()
	})
	// The person's own Return was not echoed.
	_ = p.Show("\n")
	return secret, err
}

// read reads a line. A terminal that hangs up is an error; x/term's
// ReadPassword would spin on it.
func (p *Prompt) read() ([]byte, error) {
	buf := make([]byte, 0, maxAnswer)
	for len(buf) < maxAnswer {
		n, err := p.in.Read(buf[len(buf):maxAnswer])
		buf = buf[:len(buf)+n]
		if end := bytes.IndexByte(buf, '\n'); end >= 0 {
			return bytes.TrimSuffix(buf[:end], []byte{'\r'}), nil
		}
		if err != nil {
			return nil, fmt.Errorf("no answer: %w", err)
		}
	}
	return nil, fmt.Errorf("the answer is longer than %d bytes", maxAnswer)
}

// await runs read until ctx ends, and leaves the terminal as it was in any case.
func (p *Prompt) await(ctx context.Context, read func() ([]byte, error)) ([]byte, error) {
	var before *term.State
	err := withFD(p.in, func(fd int) (err error) {
		before, err = term.GetState(fd)
		return err
	})
	if err != nil {
		return nil, err
	}
	defer withFD(p.in, func(fd int) error { return term.Restore(fd, before) })
	type answer struct {
		text []byte
		err  error
	}
	answered := make(chan answer, 1)
	go func() {
		text, err := read()
		answered <- answer{text, err}
	}()
	select {
	case a := <-answered:
		return a.text, a.err
	case <-ctx.Done():
		// The read may stay behind: nothing can wake it, and the program ends.
		return nil, context.Cause(ctx)
	}
}
