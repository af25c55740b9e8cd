// Package listen opens the sockets that the agent listens on, its own or those
// that systemd passed, talks to systemd about its state, and finds out whether
// the host's limits are enough.
package listen
