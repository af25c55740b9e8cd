//go:build linux

package sandbox

import "golang.org/x/sys/unix"

const architecture = unix.AUDIT_ARCH_X86_64

var ofArchitecture = []uint32{unix.SYS_EPOLL_WAIT}
