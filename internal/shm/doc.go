// Package shm passes data from one process to another through memory that both have:
// a [Ring] for what comes in pieces without an end, with no system call while neither
// waits for the other, and a [Place] for one message at a time.
//
// Neither side believes what the other may write. What a writer says about a piece
// is checked each time, and a reader that must be sure of what it read copies it
// first; what a liar reaches is that its own stream or message is worth nothing. The
// memory is a memfd whose size is sealed, so that nobody can take it away under the
// other.
package shm
