// Package door is the operator's way to the agent that runs on the same host: a
// Unix socket in the agent's state directory, through which the agent's own
// commands (reload, kill, sessions, keys rotate, status) reach its broker. It
// is not the front's socket, which has no name, and nothing of the network
// comes here.
//
// Who may come is decided three times: the directory is 0700, the socket 0600,
// and the kernel says who is on the other side (SO_PEERCRED, unix(7)), which
// must be root or the agent's own user.
//
// A connection carries one request and one answer, a line of JSON each. Sizes,
// times and the number of connections are bounded.
package door
