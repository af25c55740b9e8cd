package terminal

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

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
	return p.await(ctx, func() (string, error) {
		line, err := bufio.NewReader(io.LimitReader(p.in, maxAnswer)).ReadString('\n')
		if err != nil && (line == "" || !errors.Is(err, io.EOF)) {
			return "", fmt.Errorf("no answer: %w", err)
		}
		return strings.TrimRight(line, "\r\n"), nil
	})
}

// Secret is [Prompt.Line] without echo.
func (p *Prompt) Secret(ctx context.Context, question string) ([]byte, error) {
	if err := p.Show(question); err != nil {
		return nil, err
	}
	secret, err := p.await(ctx, func() (string, error) {
		var b []byte
		err := withFD(p.in, func(fd int) (err error) {
			b, err = term.ReadPassword(fd)
			return err
		})
		return string(b), err
	})
	// The person's own Return was not echoed.
	_ = p.Show("\n")
	return []byte(secret), err
}

// await runs read until ctx ends and leaves the terminal as it was, also when
// Ctrl-C comes while echo is off.
func (p *Prompt) await(ctx context.Context, read func() (string, error)) (string, error) {
	var before *term.State
	err := withFD(p.in, func(fd int) (err error) {
		before, err = term.GetState(fd)
		return err
	})
	if err != nil {
		return "", err
	}
	type answer struct {
		text string
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
		_ = withFD(p.in, func(fd int) error { return term.Restore(fd, before) })
		return "", context.Cause(ctx)
	}
}
