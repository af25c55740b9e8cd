//go:build linux

package sandbox

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// allowed are the system calls of a Go program that serves sockets which it
// was given; ofArchitecture has those that not every architecture has.
var allowed = []uint32{
	// Established sockets, and accepting them. Nothing here makes a socket,
	// binds or connects one, or passes a descriptor to another process.
	unix.SYS_READ, unix.SYS_WRITE, unix.SYS_READV, unix.SYS_WRITEV, unix.SYS_CLOSE, unix.SYS_RECVFROM, unix.SYS_RECVMSG,
	unix.SYS_SHUTDOWN, unix.SYS_ACCEPT4, unix.SYS_GETSOCKNAME, unix.SYS_GETPEERNAME, unix.SYS_GETSOCKOPT,
	unix.SYS_EPOLL_CREATE1, unix.SYS_EPOLL_CTL, unix.SYS_EPOLL_PWAIT, unix.SYS_EVENTFD2,
	// The limit of the CPU's cgroup, which the runtime holds open and reads
	// again now and then.
	unix.SYS_PREAD64,
	// Memory, but see conditional for what may be executed.
	unix.SYS_MUNMAP, unix.SYS_MADVISE, unix.SYS_BRK, unix.SYS_MINCORE,
	// Threads and their signals.
	unix.SYS_FUTEX, unix.SYS_SCHED_YIELD, unix.SYS_SCHED_GETAFFINITY, unix.SYS_NANOSLEEP, unix.SYS_CLOCK_NANOSLEEP,
	unix.SYS_CLOCK_GETTIME, unix.SYS_GETTIMEOFDAY, unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN,
	unix.SYS_SIGALTSTACK, unix.SYS_GETPID, unix.SYS_GETTID, unix.SYS_SET_ROBUST_LIST, unix.SYS_RSEQ, unix.SYS_RESTART_SYSCALL,
	unix.SYS_EXIT, unix.SYS_EXIT_GROUP, unix.SYS_GETRANDOM,
}

// condition is one of an argument: what is left of it under the mask is value.
type condition struct {
	argument    int
	mask, value uint64
}

// conditional is a system call that is allowed with some arguments only: when all
// conditions of one of the alternatives hold.
type conditional struct {
	call         uint32
	alternatives [][]condition
}

// conditionals are the policy's, for a process.
func conditionals(pid int) []conditional {
	is := func(argument int, value uint64) condition { return condition{argument, ^uint64(0), value} }
	// PROT_EXEC: no new code.
	notExecutable := [][]condition{{{2, unix.PROT_EXEC, 0}}}
	var commands, options [][]condition
	for _, command := range []uint64{unix.F_GETFD, unix.F_SETFD, unix.F_GETFL, unix.F_SETFL, unix.F_DUPFD_CLOEXEC} {
		commands = append(commands, []condition{is(1, command)})
	}
	for _, option := range []uint64{unix.SO_KEEPALIVE, unix.SO_LINGER, unix.SO_RCVBUF, unix.SO_SNDBUF} {
		options = append(options, []condition{is(1, unix.SOL_SOCKET), is(2, option)})
	}
	for _, option := range []uint64{
		unix.TCP_NODELAY, unix.TCP_KEEPIDLE, unix.TCP_KEEPINTVL, unix.TCP_KEEPCNT,
		unix.TCP_USER_TIMEOUT, unix.TCP_NOTSENT_LOWAT, unix.TCP_QUICKACK,
	} {
		options = append(options, []condition{is(1, unix.IPPROTO_TCP), is(2, option)})
	}
	return []conditional{
		{unix.SYS_MMAP, notExecutable},
		{unix.SYS_MPROTECT, notExecutable},
		// Threads, not processes.
		{unix.SYS_CLONE, [][]condition{{{0, unix.CLONE_THREAD, unix.CLONE_THREAD}}}},
		// The runtime preempts its own threads; nobody else is signalled.
		{unix.SYS_TGKILL, [][]condition{{is(0, uint64(pid))}}},
		{unix.SYS_FCNTL, commands},
		{unix.SYS_SETSOCKOPT, options},
	}
}

// filterCalls installs the filter on every thread and makes sure that it works.
// The threads have no_new_privs.
func filterCalls() error {
	if architecture == 0 {
		return errors.New("there is no list of system calls for this architecture")
	}
	assembled, err := bpf.Assemble(filter(os.Getpid()))
	if err != nil {
		return err
	}
	instructions := make([]unix.SockFilter, len(assembled))
	for i, a := range assembled {
		instructions[i] = unix.SockFilter{Code: a.Op, Jt: a.Jt, Jf: a.Jf, K: a.K}
	}
	program := unix.SockFprog{Len: uint16(len(instructions)), Filter: &instructions[0]}
	thread, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return errno
	}
	if thread != 0 {
		return fmt.Errorf("thread %d has a filter of its own", thread)
	}
	if fd, err := unix.Open("/", unix.O_PATH|unix.O_CLOEXEC, 0); !errors.Is(err, unix.EPERM) {
		unix.Close(fd)
		return fmt.Errorf("the filter is not in force: open answers %v", err)
	}
	return nil
}
