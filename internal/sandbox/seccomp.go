//go:build linux

package sandbox

import (
	"errors"
	"fmt"
	"os"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/sys/unix"
)

// allowed are the system calls of a Go program that serves sockets which it
// was given. A name that an architecture does not have is left out for it
// (arm64 has no epoll_wait).
var allowed = []string{
	// Established sockets, and accepting them. Nothing here makes a socket,
	// binds or connects one, or passes a descriptor to another process.
	"read", "write", "readv", "writev", "close", "recvfrom", "recvmsg", "shutdown",
	"accept4", "getsockname", "getpeername", "getsockopt",
	"epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_wait", "eventfd2",
	// The limit of the CPU's cgroup, which the runtime holds open and reads
	// again now and then.
	"pread64",
	// Memory, but see conditional for what may be executed.
	"munmap", "madvise", "brk", "mincore",
	// Threads and their signals.
	"futex", "sched_yield", "sched_getaffinity", "nanosleep", "clock_nanosleep", "clock_gettime",
	"gettimeofday", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack",
	"getpid", "gettid", "set_robust_list", "rseq", "restart_syscall", "exit", "exit_group",
	"getrandom",
}

// PROT_EXEC of mmap and mprotect: no new code.
const protExec = unix.PROT_EXEC

// conditional are the system calls that are allowed with some arguments only.
// The conditions of one entry must all hold; entries of one name are
// alternatives.
func conditional(pid int) []seccomp.NameWithConditions {
	with := func(name string, conditions ...seccomp.Condition) seccomp.NameWithConditions {
		return seccomp.NameWithConditions{Name: name, Conditions: conditions}
	}
	is := func(argument uint32, value uint64) seccomp.Condition {
		return seccomp.Condition{Argument: argument, Operation: seccomp.Equal, Value: value}
	}
	list := []seccomp.NameWithConditions{
		with("mmap", seccomp.Condition{Argument: 2, Operation: seccomp.BitsNotSet, Value: protExec}),
		with("mprotect", seccomp.Condition{Argument: 2, Operation: seccomp.BitsNotSet, Value: protExec}),
		// Threads, not processes.
		with("clone", seccomp.Condition{Argument: 0, Operation: seccomp.BitsSet, Value: unix.CLONE_THREAD}),
		// The runtime preempts its own threads; nobody else is signalled.
		with("tgkill", is(0, uint64(pid))),
	}
	for _, command := range []uint64{unix.F_GETFD, unix.F_SETFD, unix.F_GETFL, unix.F_SETFL, unix.F_DUPFD_CLOEXEC} {
		list = append(list, with("fcntl", is(1, command)))
	}
	for _, option := range []uint64{unix.SO_KEEPALIVE, unix.SO_LINGER, unix.SO_RCVBUF, unix.SO_SNDBUF} {
		list = append(list, with("setsockopt", is(1, unix.SOL_SOCKET), is(2, option)))
	}
	for _, option := range []uint64{
		unix.TCP_NODELAY, unix.TCP_KEEPIDLE, unix.TCP_KEEPINTVL, unix.TCP_KEEPCNT,
		unix.TCP_USER_TIMEOUT, unix.TCP_NOTSENT_LOWAT, unix.TCP_QUICKACK,
	} {
		list = append(list, with("setsockopt", is(1, unix.IPPROTO_TCP), is(2, option)))
	}
	return list
}

// policy is the filter for an architecture. clone3 takes its flags in memory,
// where a filter cannot see them: it does not exist here, so that the C
// library of a build with cgo falls back to clone.
func policy(info *arch.Info, pid int) seccomp.Policy {
	group := seccomp.SyscallGroup{Action: seccomp.ActionAllow, NamesWithCondtions: conditional(pid)}
	for _, name := range allowed {
		if _, ok := info.SyscallNames[name]; ok {
			group.Names = append(group.Names, name)
		}
	}
	missing := seccomp.SyscallGroup{
		Action: seccomp.ActionErrno | seccomp.Action(unix.ENOSYS),
		Names:  []string{"clone3"},
	}
	return seccomp.Policy{DefaultAction: seccomp.ActionErrno, Syscalls: []seccomp.SyscallGroup{group, missing}}
}

// filterCalls installs the filter on every thread and makes sure that it works.
func filterCalls() error {
	info, err := arch.GetInfo("")
	if err != nil {
		return err
	}
	err = seccomp.LoadFilter(seccomp.Filter{
		NoNewPrivs: true, Flag: seccomp.FilterFlagTSync, Policy: policy(info, os.Getpid()),
	})
	if err != nil {
		return err
	}
	// A thread that cannot be synchronised is not an error to the library.
	if fd, err := unix.Open("/", unix.O_PATH|unix.O_CLOEXEC, 0); !errors.Is(err, unix.EPERM) {
		unix.Close(fd)
		return fmt.Errorf("the filter is not in force: open answers %v", err)
	}
	return nil
}
