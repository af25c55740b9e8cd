// Package account answers questions about the users and groups of the host.
//
// The agent is a static binary without the C library, so NSS (LDAP, sssd,
// systemd) is asked through getent(1), which every host with a C library has.
// Where there is none — an image with nothing but the agent — there is no NSS
// either, and /etc/passwd, /etc/group and /etc/shadow are read.
//
// Answers are remembered for 30 seconds and forgotten at once when one of
// those files or /etc/nsswitch.conf changes: they are asked for on every open.
package account
