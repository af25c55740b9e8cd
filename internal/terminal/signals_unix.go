//go:build unix

package terminal

import (
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"
)

// Signals tells what the kernel says to a program at a terminal. A nil channel
// never delivers: the system has no such thing.
type Signals struct {
	// Resized: the window's size may have changed.
	Resized chan os.Signal
	// Stop: somebody asks the program to stop (SIGTSTP).
	Stop chan os.Signal
	// Continued: the program goes on after a stop.
	Continued chan os.Signal
}

// Listen starts delivery. A signal that comes while the last of its kind waits
// is dropped.
func Listen() *Signals {
	s := &Signals{
		Resized:   make(chan os.Signal, 1),
		Stop:      make(chan os.Signal, 1),
		Continued: make(chan os.Signal, 1),
	}
	signal.Notify(s.Resized, unix.SIGWINCH)
	signal.Notify(s.Stop, unix.SIGTSTP)
	signal.Notify(s.Continued, unix.SIGCONT)
	return s
}

// Close ends delivery.
func (s *Signals) Close() {
	signal.Stop(s.Resized)
	signal.Stop(s.Stop)
	signal.Stop(s.Continued)
}

// stopTakes bounds how long the kernel may take to stop the process. It may
// also not stop it at all: see stopSignal.
const stopTakes = 200 * time.Millisecond

// Suspend restores the terminal, stops the process (with its whole job when
// asked for by a key, as Ctrl-Z would) and returns once it goes on, in raw mode
// again.
func (t *Terminal) Suspend(wholeJob bool) error {
	t.Restore()
	continued := make(chan os.Signal, 1)
	signal.Notify(continued, unix.SIGCONT)
	defer signal.Stop(continued)
	pid := unix.Getpid()
	if wholeJob {
		pid = 0
	}
	err := unix.Kill(pid, stopSignal())
	if err == nil {
		select {
		case <-continued:
		case <-time.After(stopTakes):
		}
	}
	if rawErr := t.Raw(); rawErr != nil {
		return rawErr
	}
	return err
}

// stopSignal stops the process without the risk that nobody continues it. It
// cannot be SIGTSTP: once Go's runtime has caught that, it swallows it for good.
// SIGSTOP is right where the parent is a shell with job control. Otherwise
// SIGTTIN, whose default the runtime never touches, and which the kernel keeps
// from process groups that have no such shell.
func stopSignal() unix.Signal {
	parent := unix.Getppid()
	session, err := unix.Getsid(parent)
	own, ownErr := unix.Getsid(0)
	group, groupErr := unix.Getpgid(parent)
	if err == nil && ownErr == nil && groupErr == nil && session == own && group != unix.Getpgrp() {
		return unix.SIGSTOP
	}
	return unix.SIGTTIN
}
