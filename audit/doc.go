// Package audit keeps the trail: one event per fact, as a line of JSON, chained
// and sealed (package seal), in files that the agent alone can write.
//
// The trail's own files are also the spool of every sink: a sink reads them from
// where it last was, so what it is told is what was written down, in that order,
// at least once.
//
// # The files
//
// A trail is a folder with trail-N.jsonl, N being the number of the first line
// in twenty digits. A line is an event's JSON object with three members added at
// its end: "n", the line's number; "sum", the base64url hash of the chain after
// it; "sig", the seal key's signature of that link. The chain's record is the
// line without the three. Every file begins with trail.begins, which has the
// certificate of the seal key and the link before it, and but for the newest one ends
// with trail.continues; the chain starts with the empty header and goes on over files.
package audit
