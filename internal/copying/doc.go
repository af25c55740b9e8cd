// Package copying copies files and trees between two processes that share
// nothing but two streams of bytes: what agent cp says to the agent's
// copy-server, and what two copy-servers say to each other through it. The bytes
// are specified in PROTOCOL.md.
//
// One side sends, the other receives; either may be the client's. [Peer.Send] walks
// what is to be copied and describes it as it goes, small files together with
// their content. Larger ones it offers, and [Peer.Receive] says from where on it wants
// them: an earlier attempt may have brought a part. Nothing waits for a single
// file: descriptions, content and answers are under way at the same time, and
// memory is bounded whatever a tree holds.
//
// A file is written under a name of its own, and takes its place when it is whole
// and its SHA-256 is the sender's. Neither side believes the other: names are
// single names below a directory that is held open, links are never followed
// on the receiving side, and lengths are bounded before anything is read.
package copying
