package process

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Flags of PR_GET_SECUREBITS; see capabilities(7).
const (
	secureNoSetuidFixup = 1 << 2
	secureKeepCaps      = 1 << 4
)

// CheckPrivileges returns an error if a program that the agent starts as
// another user could keep or regain root's capabilities: the kernel takes them
// at setuid(2) unless it was told not to. Call it at the agent's start; what an
// agent has of ambient and inheritable capabilities is no error, since no
// program gets them.
func CheckPrivileges() error {
	bits, err := unix.PrctlRetInt(unix.PR_GET_SECUREBITS, 0, 0, 0, 0)
	if err != nil {
		return fmt.Errorf("read the securebits: %w", err)
	}
	switch {
	case os.Geteuid() != 0:
		return nil // nothing is given up, and setuid is not called
	case bits&secureNoSetuidFixup != 0:
		return errors.New("securebit no-setuid-fixup is set: programs of other users would keep root's capabilities: start the agent without it (SecureBits= in its unit)")
	case bits&secureKeepCaps != 0:
		return errors.New("securebit keep-caps is set: programs of other users would keep root's capabilities: start the agent without it (SecureBits= in its unit)")
	case os.Getuid() != 0:
		return errors.New("the agent is set-uid root: start it as root, or as the user it is for")
	}
	return nil
}

// CloseInherited marks every descriptor above standard error that the agent was
// started with to be closed in the programs it starts. The agent itself keeps
// them: sockets passed to it go on working. Call it once, at its start.
func CloseInherited() error {
	const all = ^uint(0) >> 1
	err := unix.CloseRange(3, all, unix.CLOSE_RANGE_CLOEXEC)
	if err == nil {
		return nil
	}
	// Before Linux 5.11, or a container's filter.
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return fmt.Errorf("find the descriptors that the agent was started with: %w", err)
	}
	for _, f := range fds {
		if fd, err := strconv.Atoi(f.Name()); err == nil && fd > 2 {
			unix.CloseOnExec(fd)
		}
	}
	return nil
}
