// Package ring moves pieces of data from one process to another through memory
// that both have: one copy, and no system call while neither waits for the other.
//
// Neither side believes what the other may write. What a writer says about a piece
// is checked each time, and a reader that must be sure of what it read copies it
// first; what a liar reaches is that its own ring stands still or ends. The memory
// is a memfd whose size is sealed, so that nobody can take it away under the other.
package ring
