//go:build linux || darwin

package share

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Descriptors that a process started by [Start] finds open.
const (
	readyFD = 3
	lockFD  = 4
)

// ready is what a holder says once it listens.
const ready = "ready\n"

// Start runs a program that is to become a holder: it calls [Detach] once it
// listens. Until then it belongs to the caller's job and terminal, so that it can
// ask the person something, and says what is wrong on standard error. It then
// goes on by itself. lock is [Join]'s. One that ends before is a *[StartError].
func Start(ctx context.Context, argv []string, lock *os.File) error {
	heard, tells, err := os.Pipe()
	if err != nil {
		return err
	}
	defer heard.Close()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stderr = os.Stderr
	cmd.ExtraFiles = []*os.File{tells, lock}
	err = cmd.Start()
	tells.Close()
	if err != nil {
		return fmt.Errorf("start what holds the shared connection: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Signal(syscall.SIGTERM) })
	defer stop()
	line, err := bufio.NewReader(heard).ReadString('\n')
	switch {
	case line == ready:
		return nil
	case err != nil && !errors.Is(err, io.EOF):
		return err
	}
	err = <-ended
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		return &StartError{Code: exit.ExitCode()}
	}
	return fmt.Errorf("what should hold the shared connection ended at once: %w", err)
}

// Inherited returns the lock that [Start] gave this process. It fails when this
// process was not started so.
func Inherited() (lock *os.File, err error) {
	for _, fd := range []int{readyFD, lockFD} {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil {
			return nil, errors.New("this is for the program itself: it holds a shared connection, and is started by --share")
		}
		unix.CloseOnExec(fd)
	}
	return os.NewFile(lockFD, "lock"), nil
}

// Detach tells whoever started this process that it listens, and leaves their
// terminal. Standard error goes nowhere from then on, and other processes of this
// user cannot look into this one where the system can keep them from it.
func Detach(lock *os.File) error {
	if err := conceal(); err != nil {
		return fmt.Errorf("keep the key from others: %w", err)
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	for fd := range 3 {
		if err := dup(int(null.Fd()), fd); err != nil {
			return err
		}
	}
	// It fails for the leader of a process group, which has no terminal to leave.
	_, _ = unix.Setsid()
	lock.Close()
	tells := os.NewFile(readyFD, "ready")
	defer tells.Close()
	_, err = io.Copy(tells, strings.NewReader(ready))
	return err
}
