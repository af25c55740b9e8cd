// Package driver is the neutral party of the benchmark: it runs a client's
// command on a terminal or on pipes, as a person or a script would, and takes
// the time of what comes out. It knows nothing of what the client speaks.
package driver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// tailSize bounds what is kept of a client's output for error messages.
const tailSize = 2 << 10

// Command is a client's command line.
type Command struct {
	Argv []string
	// Env is the whole environment.
	Env []string
	// Start starts the process elsewhere than here, such as in a network
	// namespace; nil means here.
	Start func(*exec.Cmd) error
}

// Client is a running client. It is for one goroutine, but that Send may run
// beside the methods that read.
type Client struct {
	cmd     *exec.Cmd
	ctx     context.Context
	stop    func() bool
	started time.Time
	ended   chan struct{} // closed when the process was reaped
	at      time.Time     // when it was; after ended
	err     error         // what Wait said; after ended

	in, out *os.File // the same file on a terminal
	stderr  *os.File // nil on a terminal
	kept    []byte   // read but not asked for yet
	tail    []byte   // the last of what was read
	buf     []byte
}

// OnTerminal starts a client on a terminal of 80 by 24. When ctx ends, the
// client is killed and whoever waits is told why.
func OnTerminal(ctx context.Context, c Command) (*Client, error) {
	master, slave, err := pty.Open()
	if err != nil {
		return nil, fmt.Errorf("open a terminal: %w", err)
	}
	defer slave.Close()
	if err := pty.Setsize(master, &pty.Winsize{Rows: 24, Cols: 80}); err != nil {
		master.Close()
		return nil, fmt.Errorf("size the terminal: %w", err)
	}
	cl := newClient(ctx, c)
	cl.in, cl.out = master, master
	cl.cmd.Stdin, cl.cmd.Stdout, cl.cmd.Stderr = slave, slave, slave
	cl.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	return cl.start(c)
}

// OnPipes starts a client with pipes for standard input and output. What it
// says on standard error is kept for error messages.
func OnPipes(ctx context.Context, c Command) (*Client, error) {
	cl := newClient(ctx, c)
	fd, err := unix.MemfdCreate("stderr", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("a file for standard error: %w", err)
	}
	cl.stderr = os.NewFile(uintptr(fd), "stderr")
	theirIn, in, err := os.Pipe()
	if err != nil {
		cl.stderr.Close()
		return nil, err
	}
	defer theirIn.Close()
	out, theirOut, err := os.Pipe()
	if err != nil {
		cl.stderr.Close()
		in.Close()
		return nil, err
	}
	defer theirOut.Close()
	cl.in, cl.out = in, out
	cl.cmd.Stdin, cl.cmd.Stdout, cl.cmd.Stderr = theirIn, theirOut, cl.stderr
	cl.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cl.start(c)
}

func newClient(ctx context.Context, c Command) *Client {
	cmd := exec.Command(c.Argv[0], c.Argv[1:]...)
	cmd.Env = c.Env
	return &Client{cmd: cmd, ctx: ctx, ended: make(chan struct{}), buf: make([]byte, 64<<10)}
}

func (c *Client) start(how Command) (*Client, error) {
	begin := (*exec.Cmd).Start
	if how.Start != nil {
		begin = how.Start
	}
	c.started = time.Now()
	if err := begin(c.cmd); err != nil {
		c.closeFiles()
		return nil, fmt.Errorf("start %s: %w", how.Argv[0], err)
	}
	go func() {
		c.err = c.cmd.Wait()
		c.at = time.Now()
		close(c.ended)
	}()
	c.stop = context.AfterFunc(c.ctx, c.kill)
	return c, nil
}

func (c *Client) kill() {
	select {
	case <-c.ended: // its process id may be somebody else's by now
	default:
		_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL)
	}
}

func (c *Client) closeFiles() {
	c.in.Close()
	c.out.Close()
	if c.stderr != nil {
		c.stderr.Close()
	}
}

// Started is the moment before the process was started.
func (c *Client) Started() time.Time { return c.started }

// PID is the client's process id.
func (c *Client) PID() int { return c.cmd.Process.Pid }

// Send writes to the client, as one types or as a pipe delivers. It blocks while
// the client does not read.
func (c *Client) Send(p []byte) error {
	if _, err := c.in.Write(p); err != nil {
		return fmt.Errorf("%s: type: %w", c.cmd.Args[0], err)
	}
	return nil
}

// CloseInput ends a client's standard input. On a terminal it must not be called.
func (c *Client) CloseInput() error { return c.in.Close() }

// Await reads until mark has come, and returns when. What came behind it is kept
// for the next call; what came before it is gone.
func (c *Client) Await(mark string) (time.Time, error) {
	seen := c.kept
	c.kept = nil
	at := time.Now()
	for {
		if i := bytes.Index(seen, []byte(mark)); i >= 0 {
			c.kept = append([]byte(nil), seen[i+len(mark):]...)
			return at, nil
		}
		if keep := len(mark) - 1; len(seen) > keep {
			seen = append(seen[:0], seen[len(seen)-keep:]...)
		}
		n, err := c.read(c.buf)
		at = time.Now()
		if err != nil {
			return at, c.explain(fmt.Sprintf("waiting for %q", mark), err)
		}
		seen = append(seen, c.buf[:n]...)
	}
}

// Fill reads until p is full, and returns when that was.
func (c *Client) Fill(p []byte) (time.Time, error) {
	n := copy(p, c.kept)
	c.kept = c.kept[n:]
	for n < len(p) {
		got, err := c.read(p[n:])
		if err != nil {
			return time.Now(), c.explain(fmt.Sprintf("%d of %d bytes came", n, len(p)), err)
		}
		n += got
	}
	return time.Now(), nil
}

// Discard reads for a while and returns how many bytes came.
func (c *Client) Discard(while time.Duration) (int, error) {
	total := len(c.kept)
	c.kept = nil
	for end := time.Now().Add(while); ; {
		n, err := c.readBefore(c.buf, end)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return total, nil
		}
		if err != nil {
			return total, c.explain("reading for a while", err)
		}
		total += n
	}
}

// Wait returns when the client has ended by itself, and when that was. Its exit
// status has to be 0.
func (c *Client) Wait() (time.Time, error) {
	<-c.ended
	if c.err != nil {
		return c.at, c.explain("the client ended", c.err)
	}
	return c.at, nil
}

// Close kills the client if it still runs and frees what it held.
func (c *Client) Close() {
	c.stop()
	c.kill()
	<-c.ended
	c.closeFiles()
}

// explain adds what the client said to an error.
func (c *Client) explain(doing string, err error) error {
	if c.ctx.Err() != nil {
		err = context.Cause(c.ctx)
	}
	said := c.tail
	if c.stderr != nil {
		text := make([]byte, tailSize)
		n, _ := c.stderr.ReadAt(text, 0)
		said = text[:n]
	}
	if errors.Is(err, io.EOF) || errors.Is(err, unix.EIO) {
		err = errors.New("its output ended")
	}
	return fmt.Errorf("%s: %s: %w (it said %q)", c.cmd.Args[0], doing, err, said)
}
