package process

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// tree is every process of a session: the program, what it started, and what
// those started, also after they left its process group, session and parent.
type tree interface {
	// describe says how to find the tree again, for the note on disk.
	describe() treeNote
	// place makes the next child a member from its first instruction. It
	// returns the child's environment; release is called after the fork.
	place(sys *syscall.SysProcAttr, env []string) (newEnv []string, release func(), err error)
	started(leader processID)

	// signal sends to every member there is at this moment.
	signal(unix.Signal)
	// kill sends KILL to every member; repeated until empty, it outruns
	// members that fork meanwhile.
	kill()
	// empty reports whether no member runs. Once it does, none ever will.
	empty() bool

	// state describes the tree for another image of the agent, in which resume
	// is called once its process is set going.
	state() TreeState
	resume()

	// discard forgets a tree that nothing was started in.
	discard()
	// leave forgets a tree whose leader has ended. What still runs goes on;
	// it reports whether anything does.
	leave() (alive bool)
}

// processID names a process for good: the kernel gives numbers out again, but
// not with the same start time. The zero value is no process.
type processID struct {
	pid   int
	start uint64 // clock ticks since boot, of /proc/PID/stat
}
