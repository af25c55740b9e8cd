//go:build linux

package sandbox

import (
	"slices"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Where struct seccomp_data (seccomp(2)) has the call's number, the architecture
// and the first argument. The architectures that there is a list for are little-endian.
const (
	offsetCall         = 0
	offsetArchitecture = 4
	offsetArguments    = 16
)

// x32 is the bit of calls that a 64-bit x86 takes in its third way, and of none of
// arm64's.
const x32 = 0x40000000

var (
	allow   = bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW}
	refuse  = bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)}
	unknown = bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)}
)

// filter is the policy as a program: what it does not allow fails with EPERM.
// clone3 takes its flags in memory, where a filter cannot see them: it does not
// exist here, so that the C library of a build with cgo falls back to clone.
func filter(pid int) []bpf.Instruction {
	program := []bpf.Instruction{
		bpf.LoadAbsolute{Off: offsetArchitecture, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: architecture, SkipTrue: 1},
		refuse,
		bpf.LoadAbsolute{Off: offsetCall, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpGreaterOrEqual, Val: x32, SkipFalse: 1},
		unknown,
	}
	for _, call := range slices.Concat(allowed, ofArchitecture) {
		program = append(program, when(call, allow)...)
	}
	program = append(program, when(unix.SYS_CLONE3, unknown)...)
	for _, c := range conditionals(pid) {
		program = append(program, when(c.call, c.program()...)...)
	}
	return append(program, refuse)
}

// when is what is done for one call. What is done for it ends the program.
func when(call uint32, do ...bpf.Instruction) []bpf.Instruction {
	return append([]bpf.Instruction{bpf.JumpIf{Cond: bpf.JumpEqual, Val: call, SkipFalse: uint8(len(do))}}, do...)
}

// program allows the call if one of the alternatives holds.
func (c conditional) program() (all []bpf.Instruction) {
	for _, conditions := range c.alternatives {
		all = append(all, together(conditions)...)
	}
	return append(all, refuse)
}

// together allows if all conditions hold; else it goes on behind itself.
func together(conditions []condition) []bpf.Instruction {
	rest := []bpf.Instruction{allow}
	for _, c := range slices.Backward(conditions) {
		low := offsetArguments + 8*uint32(c.argument)
		rest = append(half(low, uint32(c.mask), uint32(c.value), len(rest)), rest...)
		rest = append(half(low+4, uint32(c.mask>>32), uint32(c.value>>32), len(rest)), rest...)
	}
	return rest
}

// half looks at 32 bits, and skips what follows when they are others.
func half(offset, mask, value uint32, follows int) []bpf.Instruction {
	return []bpf.Instruction{
		bpf.LoadAbsolute{Off: offset, Size: 4},
		bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: mask},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: value, SkipFalse: uint8(follows)},
	}
}
