// Package command signs and verifies tokens with programs: a key in an HSM, a
// Vault, a policy that only a script knows. It is apart from package jwtauth
// because it starts processes. No shell takes part: a command is an argument
// list, and what it works on goes through standard input and output.
package command

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"unicode"
)

// maxMessage bounds what of a command's standard error is repeated, in bytes.
const maxMessage = 1 << 10

// bounded keeps the first max bytes that are written to it. More is an error
// when strict, and is dropped when not. The zero value keeps nothing.
type bounded struct {
	buf    bytes.Buffer
	max    int
	strict bool
	over   error // set when strict and more than max was written
}

func (b *bounded) Write(p []byte) (int, error) {
	room := b.max - b.buf.Len()
	if len(p) > room && b.strict {
		b.over = fmt.Errorf("its output is larger than %d bytes", b.max)
		return 0, b.over
	}
	b.buf.Write(p[:min(len(p), room)])
	return len(p), nil
}

// message is what was kept, as one line without control characters.
func (b *bounded) message() string {
	line := strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case unicode.IsControl(r) || r == unicode.ReplacementChar:
			return -1
		}
		return r
	}, b.buf.String())
	return strings.TrimSpace(line)
}

// failure names the command, what happened and what the command said.
func failure(argv []string, err error, said string) error {
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && said != "" {
		return fmt.Errorf("%s: %w: %s", argv[0], err, said)
	}
	return fmt.Errorf("%s: %w", argv[0], err)
}
