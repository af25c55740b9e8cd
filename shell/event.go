package shell

import (
	"net/netip"
	"time"
)

// EventKind names a fact that is counted and audited.
type EventKind uint8

// The facts. Which fields of [Event] each one fills is said beside it.
const (
	EventOpened       EventKind = iota + 1 // Session…Remote, Duration: from the call to the program's start
	EventEnded                             // Session…Remote, Duration: the session's life, Exit, Input, Output
	EventAttached                          // Session…Remote
	EventDetached                          // Session…Remote
	EventRefused                           // Reason, Remote; Source, Subject and Key when known
	EventStdin                             // Source, Subject, Duration: from the call to the program's queue, Input
	EventOutput                            // Source, Subject, Output: bytes handed to a client
	EventReloaded                          // Err: nil when the new policy is in force
	EventFrontStarted                      // Count: how often before
	EventUpgraded                          // Err: nil when this image took over, as the Count-th; else why the older one goes on
	EventContinued                         // Session…Remote, Duration: its age; a live session that this image took over
)

// Event is one fact. It is passed by value on hot paths and kept by nobody.
type Event struct {
	Kind     EventKind
	Time     time.Time
	Session  string
	Source   string
	Subject  string // as configured; "" when the key has no subject
	Key      string
	User     string
	UID      uint32
	Remote   netip.Addr
	Reason   Reason
	Duration time.Duration
	Input    uint64
	Output   uint64
	Exit     Exit
	Count    uint64
	Err      error
}
