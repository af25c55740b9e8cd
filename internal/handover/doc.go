// Package handover is the form in which one image of the agent hands what it
// knows to the next, which replaces it in the same process: a file in memory
// that is sealed once it is written.
//
//	16 bytes   "shellagent state"
//	uint32     version of what follows, big-endian
//	records    one byte of kind, uint64 length, as many bytes
//	end        a record of kind end with the SHA-256 of all before it
//
// A record is JSON or plain bytes. Who reads asks for them in the order in which
// they were written, each with a bound; anything else is an error. A field that
// a reader does not know is an error, too: whatever changes in what is written
// raises [Version], and a reader says which versions it reads before anything is
// switched.
package handover

// Version is what [Create] writes. [Reads] lists what [Open] understands, and
// what a newer program answers when an older one asks whether it can take over.
const Version uint32 = 5

// Reads are the versions that can be read: 1 lacks the socket for metrics, the
// penalties of addresses and the MACs of clients; 2 lacks recordings; 3 lacks
// where drains are, what the audit trail is to be told, and a grant's files,
// banner, forced command, drain and quiet watchers, and what a backlog may widen to; 4
// lacks what a session of forwards has: a grant for it, its program's channel and
// sockets of key agents.
var Reads = []uint32{1, 2, 3, 4, 5}
