package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"shellagent/internal/cli"
	"shellagent/internal/forwardd"
	"shellagent/shell"
)

// forwardName is the command that forwards connections. It is started as a
// session's program and by nobody else.
const forwardName = "forward-server"

// channelFD is the descriptor on which it asks what it may do.
const channelFD = 3

// servesForwards is a grant of forwards as the program that carries them out: this
// one, as [servesFiles] has it. What it may do is not in its arguments, since it
// asks every time.
func servesForwards(g shell.Grant) shell.Grant {
	g.Path = running
	g.Argv = []string{"agent", forwardName}
	return g
}

func forwardCommand() *cobra.Command {
	return &cobra.Command{
		Use:    forwardName,
		Short:  "Forward connections over standard input and output, for listen",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := serveForwards(); err != nil {
				return err
			}
			return cli.Exit(0)
		},
	}
}

const (
	// carefulMemory is where a helper begins to collect its garbage with care: what
	// all streams may hold at their first windows.
	carefulMemory = 1 << 30
	// mostMemory ends it. Only a client that sends single bytes to thousands of
	// streams that nobody reads gets there, and shall not take the host's.
	mostMemory = 3 << 30
)

// boundMemory bounds the memory of this process, in bytes of its data.
func boundMemory() error {
	debug.SetMemoryLimit(carefulMemory)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_DATA, &limit); err != nil {
		return fmt.Errorf("limit of memory: %w", err)
	}
	limit.Max = min(limit.Max, mostMemory)
	limit.Cur = min(limit.Cur, limit.Max)
	if err := unix.Setrlimit(unix.RLIMIT_DATA, &limit); err != nil {
		return fmt.Errorf("limit of memory: %w", err)
	}
	return nil
}

func serveForwards() error {
	if err := boundMemory(); err != nil {
		return err
	}
	// The sockets that it makes are the user's alone, as StreamLocalBindMask 0177
	// of ssh has them.
	unix.Umask(0o177)
	// An agent that is gone is an error to clean up after.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	var files [channelFD + 1]*os.File
	for fd := range files {
		if fd == 2 {
			continue
		}
		if err := unix.SetNonblock(fd, true); err != nil {
			return fmt.Errorf("descriptor %d: %w (%s is started by the agent alone)", fd, err, forwardName)
		}
		files[fd] = os.NewFile(uintptr(fd), "session")
	}
	channel := forwardd.NewChannel(files[channelFD])
	defer channel.Close()
	return forwardd.Serve(ctx, session{in: files[0], out: files[1]}, channel)
}

// session is a session's two streams as one.
type session struct{ in, out *os.File }

func (s session) Read(p []byte) (int, error)  { return s.in.Read(p) }
func (s session) Write(p []byte) (int, error) { return s.out.Write(p) }
func (s session) Close() error                { return errors.Join(s.in.Close(), s.out.Close()) }
