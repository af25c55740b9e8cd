package process

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

// Errors of [Host.Start] that are the command's own fault; match with errors.Is.
// The error itself reads as a shell would say it: "name: command not found".
var (
	ErrNotFound      = errors.New("command not found")
	ErrNotExecutable = errors.New("command cannot be executed")
)

// ExitCode returns the exit status that a shell gives for an error of
// [Host.Start]: 127 for [ErrNotFound], 126 for [ErrNotExecutable]. ok is false
// for any other error.
func ExitCode(err error) (code int, ok bool) {
	switch {
	case errors.Is(err, ErrNotFound):
		return 127, true
	case errors.Is(err, ErrNotExecutable):
		return 126, true
	default:
		return 0, false
	}
}

// commandError says what is wrong with a command in a shell's words.
type commandError struct {
	name, text string
	kind       error
	cause      error
}

func (e *commandError) Error() string   { return e.name + ": " + e.text }
func (e *commandError) Unwrap() []error { return []error{e.kind, e.cause} }

// execError tells the command's faults from the host's. exists says that a file
// was found at the path, so that a missing file is its interpreter.
func execError(name string, err error, exists bool) error {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return fmt.Errorf("start %s: %w", name, err)
	}
	e := &commandError{name: name, kind: ErrNotExecutable, cause: err}
	switch errno {
	case syscall.ENOENT, syscall.ENOTDIR:
		if exists {
			e.text = "its interpreter was not found"
		} else {
			e.kind, e.text = ErrNotFound, "command not found"
		}
	case syscall.EACCES:
		e.text = "permission denied"
	case syscall.ENOEXEC:
		e.text = "neither a program for this machine nor a script with a #! line"
	case syscall.E2BIG:
		e.text = "argument list too long"
	case syscall.EISDIR:
		e.text = "is a directory"
	case syscall.ELOOP, syscall.ETXTBSY, syscall.ELIBBAD, syscall.ENAMETOOLONG:
		e.text = errno.Error()
	default:
		return fmt.Errorf("start %s: %w", name, err)
	}
	return e
}

// errnoText is the text of the system's error alone, as sshd prints it.
func errnoText(err error) string {
	var errno syscall.Errno
	var path *fs.PathError
	switch {
	case errors.As(err, &errno):
		return errno.Error()
	case errors.As(err, &path):
		return path.Err.Error()
	default:
		return err.Error()
	}
}
