// Package terminal is the person's terminal as a remote shell needs it: raw
// mode that is always undone, the window's size, ssh's escape sequences, and
// questions that reach the person even when standard input is data.
//
// It knows nothing of sessions or of the network. What differs between
// operating systems is in the files named after them.
package terminal
