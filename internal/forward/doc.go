// Package forward is what the two ends of forwarded connections share: many
// streams over the one that a session is, the header that each of them begins
// with, and the copying between a stream and a socket.
//
// PROTOCOL.md, "Forwards", says what crosses the wire.
package forward
