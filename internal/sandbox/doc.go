// Package sandbox takes from a process everything that it does not need to
// serve sockets it already has: privileges, files, other programs, new
// connections. What is given up cannot be had again.
//
// Several fences stand one behind the other, so that one that a kernel lacks
// or an attacker climbs is not the last:
//
//   - no capabilities in any set, no_new_privs, not dumpable: no other process
//     of the same user may trace it or read its memory
//   - Landlock, where the kernel has it: no file may be opened, no TCP port
//     bound or connected to, no process outside signalled
//   - seccomp: a list of the system calls that the Go runtime and established
//     sockets need; all others fail with EPERM
//   - limits of resources
//
// New threads are allowed (the Go runtime needs them, which is why RLIMIT_NPROC
// cannot be zero: the kernel counts threads), new processes are not.
package sandbox
