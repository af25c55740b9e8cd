// Package cli is the command line: the commands that both binaries offer, and
// the rules that every command follows.
//
//   - Results go to standard output, everything else to standard error.
//   - Exit codes: of shell and exec the remote status, 128+n when signal n ended
//     the program or this one; 2 when the command line, the configuration or a
//     key cannot be used; 255 when the connection failed or the agent refused,
//     and for nothing else; 1 for what remains.
//   - All text for people is in text.go, with its rules.
//
// Nothing here is global: a [Program] holds what a run needs.
package cli
