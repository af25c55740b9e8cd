// Package localcommand runs the LocalCommand of ssh_config(5): a line for the
// person's own shell, once there is a session.
package localcommand

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
)

// Run runs a line with a shell, /bin/sh when that is empty, on the given streams,
// and waits for its end. How the line ended is nobody's concern; an error says that
// it was not begun.
func Run(shell, line string, stdin, stdout, stderr *os.File) error {
	if shell == "" {
		shell = "/bin/sh"
	}
	cmd := exec.Command(shell, "-c", line)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return fmt.Errorf("LocalCommand: %w", err)
	}
	return nil
}
