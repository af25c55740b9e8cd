package forwardd

import (
	"context"
	"net/netip"

	"shellagent/internal/forward"
)

// What is asked for.
const (
	DoOpen   = "open"
	DoListen = "listen"
	DoAccept = "accept" // a connection came in at what is listened on
)

// Question is what the agent is asked before anything is opened, listened on or accepted.
type Question struct {
	Do   string `json:"do"`
	Kind string `json:"kind"` // forward.TCP, forward.Unix or forward.Agent
	// Host is a name in lower case without a last dot; "" when an address was
	// given; "*" for listening on every address.
	Host string `json:"host,omitzero"`
	Port uint16 `json:"port,omitzero"`
	// Addresses are what Host is, and nil while it was not looked up.
	Addresses []netip.Addr `json:"addresses,omitzero"`
	// Path is absolute, and free of symbolic links as far as it exists.
	Path string `json:"path,omitzero"`
	// From is the peer of a connection that came in.
	From string `json:"from,omitzero"`
}

// Permit is a yes.
type Permit struct {
	// Lookup says that it depends on the addresses: the question is to be asked
	// again with them.
	Lookup bool `json:"lookup,omitzero"`
	// Addresses are those of the question that may be used.
	Addresses []netip.Addr `json:"addresses,omitzero"`
}

// End is how what was allowed ended.
type End struct {
	// FromClient and ToClient are the bytes that crossed.
	FromClient uint64 `json:"fromClient,omitzero"`
	ToClient   uint64 `json:"toClient,omitzero"`
	// Seconds is how long it was there.
	Seconds float64 `json:"seconds,omitzero"`
	// Code says why it never was; "" when it was.
	Code forward.Code `json:"code,omitzero"`
	// Broken says that it did not end in order.
	Broken bool `json:"broken,omitzero"`
	// Never says that it was not even allowed, for the reason that Code says: a name
	// that could not be looked up, a limit, a header that says nothing.
	Never bool `json:"never,omitzero"`
}

// Decider says what may be done. Its methods are used concurrently.
type Decider interface {
	// Ask returns a *[forward.Refusal] for a no.
	Ask(ctx context.Context, q Question) (Permit, error)
	// Ended is told once of everything that Ask allowed, and of what failed before it
	// could be asked for.
	Ended(q Question, e End)
}
