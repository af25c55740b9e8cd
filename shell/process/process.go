package process

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"shellagent/shell"
)

// Process is a started program with its streams and its tree. Its methods may
// be called at any time from any goroutine.
type Process struct {
	host    *Host
	streams streams
	channel *os.File // nil without
	tree    tree
	note    *note
	keep    bool // the grant says no KillOnExit
	grace   time.Duration

	pid    int
	pidfd  *os.File // nil before Linux 5.4
	ending *ending

	// mu is held where the process's number must be its own, where the streams
	// are closed, and while the process is suspended.
	mu       sync.Mutex
	reaped   bool
	exit     shell.Exit // once reaped
	released bool       // the streams are closed

	waited sync.Once
	closed sync.Once
}

var (
	_ shell.Suspender = (*Process)(nil)
	_ shell.Echoer    = (*Process)(nil)
)

// PID returns the number of the program, which is also that of its process
// group and session. It may be another's once Wait has returned.
func (p *Process) PID() int { return p.pid }

// TTY returns the terminal's file, or "" for a program on pipes.
func (p *Process) TTY() string { return p.streams.ttyName() }

// Stdin implements [shell.Program]. On pipes, a Write to a program that closed
// its input is an error that is syscall.EPIPE. Close on a pty types VEOF once
// or twice, as endOfInput says; nothing in raw mode.
func (p *Process) Stdin() io.WriteCloser { return p.streams.stdin() }

// Output implements [shell.Program]; its readers are [shell.ReadinessWaiter].
// On pipes it ends when nobody has the other end open any more. On a pty it
// also ends when the program has ended and what it wrote was read; on both when
// a hang-up was carried out, whoever still holds the other end.
func (p *Process) Output(t shell.FrameType) io.Reader { return p.streams.output(t) }

// Resize implements [shell.Program].
func (p *Process) Resize(size shell.Winsize) error {
	t, ok := p.streams.(*terminal)
	if !ok {
		return nil
	}
	if err := t.resize(size); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("resize %s: %w", t.name, err)
	}
	return nil
}

// Echo implements [shell.Echoer]. A terminal that cannot be asked shows nothing.
func (p *Process) Echo() shell.Echo {
	t, ok := p.streams.(*terminal)
	if !ok {
		return shell.EchoNone
	}
	return t.echo()
}

// Signal implements [shell.Program]. The names are those of
// [shell.SignalRequest]. When the program has ended the error is
// os.ErrProcessDone.
func (p *Process) Signal(name string) error {
	sig, ok := signalNames[name]
	if !ok {
		return fmt.Errorf("signal %q is not one that can be sent", name)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped {
		return os.ErrProcessDone
	}
	group := p.pid
	if t, ok := p.streams.(*terminal); ok {
		if g, ok := t.foreground(); ok {
			group = g
		}
	}
	if err := unix.Kill(-group, sig); err != nil {
		return fmt.Errorf("send %s to process group %d: %w", name, group, err)
	}
	return nil
}

// Wait implements [shell.Program]; it may be called more than once. On a pty,
// with KillOnExit, the rest of the tree is told to end at once; on pipes only
// at Close, so that what still writes to them is waited for, as sshd does.
func (p *Process) Wait() shell.Exit {
	p.waited.Do(func() {
		p.awaitEnd()
		p.reap()
		p.streams.programEnded()
		p.endRest()
	})
	return p.exit
}

// reap takes the exit of the program, which has ended.
func (p *Process) reap() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped {
		return // by an earlier image of the agent
	}
	var status unix.WaitStatus
	_, err := unix.Wait4(p.pid, &status, 0, nil)
	for errors.Is(err, unix.EINTR) {
		_, err = unix.Wait4(p.pid, &status, 0, nil)
	}
	p.reaped, p.exit = true, exitOf(status, err)
	_ = p.pidfd.Close()
}

// endRest deals with what the program left behind when it ended.
func (p *Process) endRest() {
	switch {
	case p.keep:
		p.ending.look()
	case p.streams.ttyName() != "" || p.ending.isBegun():
		p.ending.begin(p.grace)
	}
}

// awaitEnd blocks until the program has ended and is still to be reaped, where
// it can without a thread that waits.
func (p *Process) awaitEnd() {
	if p.ended() {
		return
	}
	if p.pidfd != nil {
		if conn, err := p.pidfd.SyscallConn(); err == nil && waitReadable(conn) == nil {
			return
		}
	}
	for {
		err := unix.Waitid(unix.P_PID, p.pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// HangUp implements [shell.Program]. A later call tells once more and can only
// shorten the grace; so does the end of the program, to Options.Grace. Without KillOnExit it is the program and the terminal's foreground that are
// told, and the program alone that is killed.
func (p *Process) HangUp(grace time.Duration) { p.ending.begin(grace) }

// Close implements [shell.Program]; it may be called more than once. A program
// that still runs is hung up first. With KillOnExit it returns when the tree is
// gone: at once if it is, else after Options.Grace, and after ten more seconds
// at the latest, which it logs.
func (p *Process) Close() {
	p.closed.Do(func() {
		p.release()
		if !p.keep || !p.ended() {
			p.ending.begin(p.grace)
		}
		p.Wait()
		p.ending.wait()
		p.settle()
	})
}

func (p *Process) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.streams.close()
	_ = p.channel.Close()
	p.released = true
}

func (p *Process) ended() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reaped
}

// settle forgets the tree. What could not be ended stays noted, so that the
// agent's next start tries again.
func (p *Process) settle() {
	alive := p.tree.leave()
	switch {
	case !alive:
		p.note.remove()
	case !p.keep:
		p.host.log.Error("processes of a session could not be ended", "pid", p.pid, "tree", p.tree.describe())
	default:
		if err := p.note.setOver(); err != nil {
			p.host.log.Warn("session is not noted as over", "err", err)
		}
	}
}

// hangUpOnly is what ends of a session that keeps what its program started.
type hangUpOnly struct{ p *Process }

func (h hangUpOnly) signal(sig unix.Signal) {
	h.p.mu.Lock()
	defer h.p.mu.Unlock()
	if h.p.reaped {
		return
	}
	_ = unix.Kill(-h.p.pid, sig)
	if t, ok := h.p.streams.(*terminal); ok {
		if group, ok := t.foreground(); ok && group != h.p.pid {
			_ = unix.Kill(-group, sig)
		}
	}
}

func (h hangUpOnly) kill() {
	h.p.mu.Lock()
	defer h.p.mu.Unlock()
	if !h.p.reaped {
		_ = unix.Kill(h.p.pid, unix.SIGKILL)
	}
}

func (h hangUpOnly) empty() bool { return h.p.ended() }

// exitOf is how a program ended as a shell tells it: ProcessState.ExitCode is
// −1 for a signal.
func exitOf(status unix.WaitStatus, err error) shell.Exit {
	if err != nil {
		return shell.Exit{Code: 1, Reason: "the exit status was lost: " + err.Error()}
	}
	if !status.Signaled() {
		return shell.Exit{Code: status.ExitStatus()}
	}
	sig := status.Signal()
	return shell.Exit{Code: 128 + int(sig), Signal: signalName(sig), Core: status.CoreDump()}
}
