//go:build unix

package cli

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// backgroundFD is where the process of -f says that it goes on by itself. Its
// number is in this variable of that process.
const (
	backgroundFD       = 3
	backgroundVariable = "SHELLAGENT_SSH_BACKGROUND"
)

// isBackground says whether this is the process that -f leaves in the background.
func isBackground() bool { return os.Getenv(backgroundVariable) == fmt.Sprint(os.Getppid()) }

// holdBackground keeps to this process what tells that it ended: a signing command
// or a LocalCommand may leave something behind, which nobody is to wait for.
func holdBackground() { unix.CloseOnExec(backgroundFD) }

// inBackground runs this command line once more, in a process that may ask the
// person something until its session is open, and ends when it goes on by itself.
func inBackground() error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer null.Close()
	heard, tells, err := os.Pipe()
	if err != nil {
		return err
	}
	defer heard.Close()
	child, err := os.StartProcess(program, os.Args, &os.ProcAttr{
		Env:   append(os.Environ(), fmt.Sprintf("%s=%d", backgroundVariable, os.Getpid())),
		Files: []*os.File{null, os.Stdout, os.Stderr, tells},
	})
	tells.Close()
	if err != nil {
		return fmt.Errorf("go to the background: %w", err)
	}
	if _, err := heard.Read(make([]byte, 1)); err == nil {
		return child.Release()
	} else if !errors.Is(err, io.EOF) {
		return err
	}
	state, err := child.Wait()
	if err != nil {
		return err
	}
	if code := state.ExitCode(); code >= 0 {
		return Exit(code)
	}
	return Exit(codeTransport)
}

// goToBackground leaves the person's job and terminal, and has the one who waits
// end.
func goToBackground() error {
	_ = os.Unsetenv(backgroundVariable)
	if _, err := unix.Setsid(); err != nil {
		return fmt.Errorf("go to the background: %w", err)
	}
	tells := os.NewFile(backgroundFD, "background")
	_, err := tells.Write([]byte{1})
	return errors.Join(err, tells.Close())
}
