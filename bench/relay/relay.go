// Package relay is the floor of the benchmark: a client and server that do
// nothing but copy between two terminals in a row, as any remote shell has to.
package relay

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"

	"github.com/creack/pty"
	"golang.org/x/term"
)

// Run puts the terminal on standard input into raw mode, runs a command on
// another one as the user, and copies until it ends. It returns the exit status.
func Run(argv []string, env []string, dir string, uid, gid uint32) (int, error) {
	saved, err := term.MakeRaw(int(os.Stdin.Fd()))
	if err != nil {
		return 0, fmt.Errorf("standard input: %w", err)
	}
	defer func() { _ = term.Restore(int(os.Stdin.Fd()), saved) }()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Args[0] = "-" + argv[0] // a login shell, as the others start
	cmd.Env, cmd.Dir = env, dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Credential: &syscall.Credential{Uid: uid, Gid: gid}}
	master, slave, err := pty.Open()
	if err != nil {
		return 0, err
	}
	if err := os.Chown(slave.Name(), int(uid), int(gid)); err != nil {
		return 0, err
	}
	if err := pty.InheritSize(os.Stdin, master); err != nil {
		return 0, err
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	slave.Close()
	go func() { _, _ = io.CopyBuffer(plain{master}, plain{os.Stdin}, make([]byte, 64<<10)) }()
	_, _ = io.CopyBuffer(plain{os.Stdout}, plain{master}, make([]byte, 64<<10))
	var exit *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
		return 0, err
	}
	return cmd.ProcessState.ExitCode(), nil
}

// plain hides splice(2) and its kind, which terminals do not have.
type plain struct{ f *os.File }

func (p plain) Read(b []byte) (int, error)  { return p.f.Read(b) }
func (p plain) Write(b []byte) (int, error) { return p.f.Write(b) }
