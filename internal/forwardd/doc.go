// Package forwardd serves the far end of forwards: it opens connections and
// listens as the user that it runs as, each after it has asked whether it may. It
// decides nothing itself.
//
// PROTOCOL.md, "Forwards", says what its client sends; [Channel] is how it asks.
package forwardd
