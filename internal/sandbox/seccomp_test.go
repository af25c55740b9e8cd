//go:build linux

package sandbox

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

const testPID = 4711

// byName is the policy once more, by the names of the calls, as a library makes a
// filter of it.
func byName(info *arch.Info) seccomp.Policy {
	group := seccomp.SyscallGroup{Action: seccomp.ActionAllow}
	for _, name := range []string{
		"read", "write", "readv", "writev", "close", "recvfrom", "recvmsg", "shutdown", "accept4", "getsockname", "getpeername",
		"getsockopt", "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_wait", "eventfd2", "pread64", "munmap", "madvise", "brk",
		"mincore", "futex", "sched_yield", "sched_getaffinity", "nanosleep", "clock_nanosleep", "clock_gettime", "gettimeofday",
		"rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "getpid", "gettid", "set_robust_list", "rseq",
		"restart_syscall", "exit", "exit_group", "getrandom",
	} {
		if _, ok := info.SyscallNames[name]; ok { // arm64 has no epoll_wait
			group.Names = append(group.Names, name)
		}
	}
	with := func(name string, conditions ...seccomp.Condition) {
		group.NamesWithCondtions = append(group.NamesWithCondtions, seccomp.NameWithConditions{Name: name, Conditions: conditions})
	}
	is := func(argument uint32, value uint64) seccomp.Condition {
		return seccomp.Condition{Argument: argument, Operation: seccomp.Equal, Value: value}
	}
	with("mmap", seccomp.Condition{Argument: 2, Operation: seccomp.BitsNotSet, Value: unix.PROT_EXEC})
	with("mprotect", seccomp.Condition{Argument: 2, Operation: seccomp.BitsNotSet, Value: unix.PROT_EXEC})
	with("clone", seccomp.Condition{Argument: 0, Operation: seccomp.BitsSet, Value: unix.CLONE_THREAD})
	with("tgkill", is(0, testPID))
	for _, command := range []uint64{unix.F_GETFD, unix.F_SETFD, unix.F_GETFL, unix.F_SETFL, unix.F_DUPFD_CLOEXEC} {
		with("fcntl", is(1, command))
	}
	for _, option := range []uint64{unix.SO_KEEPALIVE, unix.SO_LINGER, unix.SO_RCVBUF, unix.SO_SNDBUF} {
		with("setsockopt", is(1, unix.SOL_SOCKET), is(2, option))
	}
	for _, option := range []uint64{
		unix.TCP_NODELAY, unix.TCP_KEEPIDLE, unix.TCP_KEEPINTVL, unix.TCP_KEEPCNT,
		unix.TCP_USER_TIMEOUT, unix.TCP_NOTSENT_LOWAT, unix.TCP_QUICKACK,
	} {
		with("setsockopt", is(1, unix.IPPROTO_TCP), is(2, option))
	}
	missing := seccomp.SyscallGroup{Action: seccomp.ActionErrno | seccomp.Action(unix.ENOSYS), Names: []string{"clone3"}}
	return seccomp.Policy{DefaultAction: seccomp.ActionErrno, Syscalls: []seccomp.SyscallGroup{group, missing}}
}

// data is a struct seccomp_data. The interpreter reads numbers with the high byte
// first; each 32 bits stand where a little-endian machine has them.
func data(architecture, call uint32, arguments ...uint64) []byte {
	d := make([]byte, 64)
	binary.BigEndian.PutUint32(d[0:], call)
	binary.BigEndian.PutUint32(d[4:], architecture)
	for i, a := range arguments {
		binary.BigEndian.PutUint32(d[16+8*i:], uint32(a))
		binary.BigEndian.PutUint32(d[20+8*i:], uint32(a>>32))
	}
	return d
}

// The filter decides as one that a library makes of the calls' names: for every
// number, with arguments at and beside what the policy names, in each half.
func TestFilterAsByName(t *testing.T) {
	info, err := arch.GetInfo("")
	if err != nil {
		t.Fatal(err)
	}
	policy := byName(info)
	reference, err := policy.Assemble()
	if err != nil {
		t.Fatal(err)
	}
	want, err := bpf.NewVM(reference)
	if err != nil {
		t.Fatal(err)
	}
	got, err := bpf.NewVM(filter(testPID))
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[uint32]string)
	for name, call := range info.SyscallNames {
		names[uint32(call)] = name
	}
	check := func(what string, d []byte) {
		a, err := got.Run(d)
		if err != nil {
			t.Fatal(err)
		}
		b, err := want.Run(d)
		if err != nil {
			t.Fatal(err)
		}
		if a != b {
			t.Fatalf("%s: %#x, want %#x", what, a, b)
		}
	}
	values := []uint64{
		0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 16, 18, 19, 20, 25, 26, 27, 1030, testPID - 1, testPID, testPID + 1, unix.CLONE_THREAD,
		unix.CLONE_THREAD | unix.CLONE_VM, unix.CLONE_VM, 1 << 31, 1 << 32, testPID | 1<<32, 1 | 1<<40, 1030 | 1<<63, ^uint64(0), ^uint64(0) - unix.CLONE_THREAD,
	}
	for call := range uint32(600) {
		for _, a := range values {
			for _, b := range values {
				for _, number := range []uint32{call, call | x32} {
					check(fmt.Sprintf("%s(%#x, %#x, …), %#x", names[call], a, b, number), data(uint32(architecture), number, a, a, b, a))
					check(fmt.Sprintf("%s(_, %#x, %#x, …), %#x", names[call], a, b, number), data(uint32(architecture), number, b, a, b, b))
				}
			}
		}
		check(fmt.Sprintf("%s of another architecture", names[call]), data(unix.AUDIT_ARCH_I386, call))
	}
}

// No call is in two lists, and the kernel takes the program.
func TestFilterIsSound(t *testing.T) {
	calls := slices.Concat(allowed, ofArchitecture)
	for _, c := range conditionals(testPID) {
		calls = append(calls, c.call)
		if n := len(c.program()); n > 255 {
			t.Errorf("call %d: a jump over %d instructions", c.call, n)
		}
	}
	slices.Sort(calls)
	if n := len(calls); len(slices.Compact(calls)) != n {
		t.Error("a call is in two lists")
	}
	if _, err := bpf.Assemble(filter(testPID)); err != nil {
		t.Error(err)
	}
	if n := len(filter(testPID)); n > 4096 { // BPF_MAXINSNS
		t.Errorf("%d instructions", n)
	}
}
