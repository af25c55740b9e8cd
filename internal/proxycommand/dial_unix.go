//go:build unix

package proxycommand

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// grace is how long a program has to end once its connection is closed.
const grace = 2 * time.Second

// Dial runs a command line by a shell, as ssh does: the user's, or /bin/sh where
// shell is empty. stderr gets what the program says there; nil drops it. ctx
// bounds the start only. Closing the connection ends the program.
func Dial(ctx context.Context, shell, commandLine string, stderr io.Writer) (net.Conn, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	if shell == "" {
		shell = "/bin/sh"
	}
	// A socket, unlike a pipe, has deadlines for both ways.
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return nil, fmt.Errorf("ProxyCommand: %w", err)
	}
	for _, fd := range fds {
		unix.CloseOnExec(fd)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "ProxyCommand"), os.NewFile(uintptr(fds[1]), "ProxyCommand")
	defer ours.Close()
	defer theirs.Close()
	conn, err := net.FileConn(ours) // a duplicate
	if err != nil {
		return nil, fmt.Errorf("ProxyCommand: %w", err)
	}
	cmd := exec.Command(shell, "-c", "exec "+commandLine)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = theirs, theirs, stderr
	// It stays in this program's job: it may ask the person something.
	cmd.WaitDelay = grace
	if err := cmd.Start(); err != nil {
		conn.Close()
		return nil, fmt.Errorf("ProxyCommand: %w", err)
	}
	c := &running{Conn: conn, cmd: cmd, ended: make(chan struct{})}
	go c.wait()
	return c, nil
}

// running is a connection that is a program.
type running struct {
	net.Conn
	cmd   *exec.Cmd
	ended chan struct{}
	once  sync.Once
}

// wait reaps the program. What it left to be read can still be read.
func (c *running) wait() {
	_ = c.cmd.Wait()
	close(c.ended)
}

// Close ends the program: by the end of its input, else by signals.
func (c *running) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() { go c.end() })
	return err
}

func (c *running) end() {
	for _, s := range []syscall.Signal{syscall.SIGHUP, syscall.SIGKILL} {
		select {
		case <-c.ended:
			return
		case <-time.After(grace / 10):
			_ = c.cmd.Process.Signal(s)
		}
	}
}
