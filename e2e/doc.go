// Package e2e tests the agent through the doors a user uses: the built
// binaries, real users, real terminals and real TLS, and the programs that a
// user would have beside them.
package e2e
