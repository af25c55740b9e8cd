package shell

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	// MaxArgument is Linux's bound of one argument or variable, in bytes, with
	// the zero that ends it (MAX_ARG_STRLEN, execve(2)).
	MaxArgument = 128 << 10
	// MaxEnvName bounds the name of a variable, in bytes.
	MaxEnvName = 256
)

// signalNames are those a client may send, without SIG.
var signalNames = []string{
	"INT", "TERM", "KILL", "HUP", "QUIT", "USR1", "USR2", "TSTP", "CONT", "WINCH", "ALRM", "PIPE",
}

// SignalNames returns the signals a client may send, without SIG.
func SignalNames() []string { return slices.Clone(signalNames) }

// Validate says what is wrong with the request, for the client to read; nil
// when policy may be asked about it.
func (r *OpenRequest) Validate() error {
	if len(r.Argv) > 0 && r.Command != "" {
		return errors.New("open: send argv or command, not both")
	}
	if r.Subsystem != "" && (len(r.Argv) > 0 || r.Command != "" || r.Terminal != nil) {
		return errors.New("open: a subsystem takes no argv, no command and no terminal")
	}
	if subsystems := []string{SubsystemSFTP, SubsystemCopy, SubsystemForward}; r.Subsystem != "" && !slices.Contains(subsystems, r.Subsystem) {
		return fmt.Errorf("open: there is no subsystem %.40q: there are %s", r.Subsystem, strings.Join(subsystems, ", "))
	}
	if len(r.Argv) > MaxArgv {
		return fmt.Errorf("open: %d arguments, at most %d are taken", len(r.Argv), MaxArgv)
	}
	if len(r.Argv) > 0 && r.Argv[0] == "" {
		return errors.New("open: the program's name is empty")
	}
	total := 0
	for i, arg := range r.Argv {
		if err := validText(arg); err != nil {
			return fmt.Errorf("open: argument %d: %w", i, err)
		}
		total += len(arg) + 1
	}
	if err := validText(r.Command); err != nil {
		return fmt.Errorf("open: command: %w", err)
	}
	if len(r.Env) > MaxOpenEnv {
		return fmt.Errorf("open: %d variables, at most %d are taken", len(r.Env), MaxOpenEnv)
	}
	for name, value := range r.Env {
		if !validEnvName(name) {
			return fmt.Errorf("open: %.40q is not the name of a variable", name)
		}
		if err := validText(value); err != nil {
			return fmt.Errorf("open: variable %s: %w", name, err)
		}
		total += len(name) + len(value) + 2
	}
	if total > MaxOpenBody {
		return fmt.Errorf("open: arguments and variables are %d bytes, at most %d are taken", total, MaxOpenBody)
	}
	if r.Terminal != nil && r.NoInput {
		return errors.New("open: a terminal has input: send terminal or noInput, not both")
	}
	if r.Terminal != nil {
		return r.Terminal.validate()
	}
	return nil
}

// validText refuses what cannot be an argument of a program.
func validText(s string) error {
	switch {
	case len(s) >= MaxArgument:
		return fmt.Errorf("%d bytes, fewer than %d are taken", len(s), MaxArgument)
	case strings.IndexByte(s, 0) >= 0:
		return errors.New("has a zero byte")
	case !utf8.ValidString(s):
		return errors.New("is not UTF-8")
	}
	return nil
}

// validEnvName takes POSIX names (XBD 8.1), lower case included.
func validEnvName(s string) bool {
	if s == "" || len(s) > MaxEnvName || s[0] >= '0' && s[0] <= '9' {
		return false
	}
	for _, c := range []byte(s) {
		if c != '_' && !isAlphanumeric(c) {
			return false
		}
	}
	return true
}

// validate bounds TERM, which names a file below the terminfo directories, and
// the size. An empty Term is as if it was not set.
func (t *Terminal) validate() error {
	if len(t.Term) > MaxTermName {
		return fmt.Errorf("terminal: its type has %d bytes, at most %d are taken", len(t.Term), MaxTermName)
	}
	for i, c := range []byte(t.Term) {
		if !isAlphanumeric(c) && (i == 0 || strings.IndexByte("-+._", c) < 0) {
			return fmt.Errorf("terminal: %q is not a terminal type: send letters, digits and - + . _", t.Term)
		}
	}
	return t.Winsize.validate()
}

// validate takes zero: a terminal that does not know its size says so.
func (w Winsize) validate() error {
	if w.Cols > MaxWinsize || w.Rows > MaxWinsize {
		return fmt.Errorf("terminal: %d columns and %d rows, at most %d are taken", w.Cols, w.Rows, MaxWinsize)
	}
	return nil
}

// Validate says what is wrong with the request, for the client to read.
func (c *ControlRequest) Validate() error {
	if c.Seq == 0 {
		return errors.New("control: seq counts from 1")
	}
	if c.Close && c.Detach {
		return errors.New("control: send close or detach, not both")
	}
	if c.Resize != nil {
		if err := c.Resize.validate(); err != nil {
			return err
		}
	}
	if c.Signal != nil && !slices.Contains(signalNames, c.Signal.Name) {
		return fmt.Errorf("control: %.20q is not a signal that can be sent: one of %s",
			c.Signal.Name, strings.Join(signalNames, " "))
	}
	return nil
}

func isAlphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}
