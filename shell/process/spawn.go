package process

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// child is what is started.
type child struct {
	ends childEnds
	name string // as it was asked for, for messages
	path string
	argv []string
	env  []string
	dir  string
	who  identity
	// processes is how many its session may have; 0 means the default.
	processes int
}

// spawn makes the child with its descriptors and as a member of t. When the first
// is a terminal, it becomes the controlling one.
func (c child) spawn(t tree, log *slog.Logger) (*os.Process, error) {
	sys := &syscall.SysProcAttr{
		Setsid:     true,
		Setctty:    c.ends.terminal,
		Ctty:       0, // a descriptor of the child
		Credential: c.who.credential(),
	}
	env, release, err := t.place(sys, c.env)
	if err != nil {
		return nil, err
	}
	defer release()
	attr := &os.ProcAttr{Dir: c.dir, Env: env, Files: c.ends.files, Sys: sys}
	var p *os.Process
	onOwnThread(func() {
		if err = neutralThread(); err != nil {
			return
		}
		tried := false
		scoreErr := atOOMScore(ordinaryOOMScore, func() {
			tried = true
			p, err = os.StartProcess(c.path, c.argv, attr)
		})
		switch {
		case !tried:
			err = scoreErr
		case scoreErr != nil:
			log.Error("the agent has lost its protection", "err", scoreErr)
		}
	})
	if err != nil {
		// Start was preceded by a look at the file, so it is there.
		return nil, execError(c.name, err, true)
	}
	return p, nil
}

// neutralThread prepares the calling thread to be forked: the child inherits
// these from the thread that forks it, whatever the agent was started with.
func neutralThread() error {
	// The file mode creation mask is per process unless a thread leaves it.
	// Where a container's filter forbids that, the agent shares the child's:
	// every file that the agent makes states its own mode.
	_ = unix.Unshare(unix.CLONE_FS)
	unix.Umask(0o022)
	// The runtime gives the child the mask that the forking thread has.
	var none unix.Sigset_t
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &none, nil); err != nil {
		return fmt.Errorf("unblock signals: %w", err)
	}
	if err := leaveKeyring(); err != nil {
		return err
	}
	return dropInheritableCapabilities()
}

// leaveKeyring gives the calling thread a session keyring of its own. Else all
// sessions would share the one that the agent was started with, and one user's
// programs could search another's keys (session-keyring(7)). An agent that is not
// root has one user, whose keyring it is.
func leaveKeyring() error {
	if os.Geteuid() != 0 {
		return nil
	}
	// A null name; x/sys has only the call that takes one.
	_, err := unix.KeyctlInt(unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0)
	// ENOSYS: the kernel has no keyrings; EPERM: a container's filter forbids them.
	if err != nil && !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EPERM) {
		return fmt.Errorf("join a session keyring: %w", err)
	}
	return nil
}

// dropInheritableCapabilities takes from the calling thread what a program
// could keep over its exec: an agent that may bind low ports, or was started in
// a careless container, gives no capability away.
func dropInheritableCapabilities() error {
	// EINVAL: the kernel has no ambient capabilities (before Linux 4.3).
	err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
	if err != nil && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("clear the ambient capabilities: %w", err)
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return fmt.Errorf("read capabilities: %w", err)
	}
	if sets[0].Inheritable|sets[1].Inheritable == 0 {
		return nil
	}
	sets[0].Inheritable, sets[1].Inheritable = 0, 0
	if err := unix.Capset(&header, &sets[0]); err != nil {
		return fmt.Errorf("clear the inheritable capabilities: %w", err)
	}
	return nil
}
