// Package process is the host's side of a session on Linux: it runs a program
// on a pty or on pipes, as a real other user, and ends it with everything that
// it started.
//
// A [Host] is what the sessions of one agent share. [Host.Start] starts a
// program and returns a [Process], which is a [shell.Program].
//
// There is no helper between the agent and the program: what the child needs is
// arranged before the fork, on a thread of its own, and the kernel does the
// rest between fork and exec. So a start costs one fork, and no environment, no
// secret and no name ever stands in an argument list.
//
// A program's tree is a cgroup v2 group where one can be made: born into it,
// nothing leaves it, and one write ends it. Elsewhere the agent becomes the
// subreaper of its sessions and finds their processes in /proc; descend.go says
// what that can and cannot see.
//
// An agent calls [CheckPrivileges], [ResetSignals] and [CloseInherited] once at
// its start, then [CleanUp]. Other children of the agent must stay in the
// agent's own session (no setsid): that is how they are told from orphans.
package process
