// Package tunnel is the client's end of forwarded connections: what ssh(1) does
// with -L, -R, -D, -W and -A. A [Link] is a session that carries them, a [Set]
// what listens, here and there, and what goes through.
//
// The agent's host is not trusted with more than it was asked for: a connection
// that comes from there leads where one of this end's listeners leads, and nowhere
// else.
package tunnel
