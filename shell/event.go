package shell

import (
	"net/netip"
	"time"
)

// EventKind names a fact that is counted and audited.
type EventKind uint8

// The facts. Which fields of [Event] each one fills is said beside it.
const (
	EventOpened           EventKind = iota + 1 // Session…Remote, Duration: from the call to the program's start
	EventEnded                                 // Session…Remote, Duration: the session's life, Exit, Input, Output
	EventAttached                              // Session…Remote
	EventDetached                              // Session…Remote
	EventRefused                               // Reason, Remote; Source, Subject and Key when known
	EventStdin                                 // Source, Subject, Duration: from the call to the program's queue, Input
	EventOutput                                // Source, Subject, Output: bytes handed to a client
	EventReloaded                              // Err: nil when the new policy is in force
	EventFrontStarted                          // Count: how often before
	EventUpgraded                              // Err: nil when this image took over, as the Count-th; else why the older one goes on
	EventContinued                             // Session…Remote, Duration: its age; a live session that this image took over
	EventRefusals                              // as EventRefused, which it repeats: Count of them, told as the log is, so that a flood fills nothing
	EventWatched                               // Session…User; Remote: of who looks on
	EventLimit                                 // Session…Remote, Detail.Why: the limit that ended the session
	EventKeyRevoked                            // Key, Subject, Detail.Why: "revoked" or "removed"
	EventStarted                               // the agent began to serve
	EventStopped                               // the agent ends in order
	EventRecording                             // Session…Remote, Detail.Recording: a recording begins, or is gone on with
	EventSegment                               // Source, Output: bytes added to a recording
	EventRecorded                              // Session…Remote, Detail.Recording and Sealed: a recording is complete
	EventRecordingFailed                       // Session…Remote, Detail.Recording, Err; Detail.Why: "required" when the session may not go on without; Count: 1 when it had begun
	EventForwardOpened                         // Session…Remote, Detail.Forward: something of a session of forwards was allowed
	EventForwardEnded                          // Session…Remote, Detail.Forward, Duration, Input and Output: bytes from and to the client; its Code when it never was
	EventForwardDenied                         // Session…Remote, Detail.Forward with its Code
	EventForwardFailed                         // Session…Remote, Detail.Forward with its Code: it could not even be asked for
	EventRecordingRemoved                      // Source, Session, Detail.Recording; Detail.Why: "age" or "size"
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
	// Detail is nil unless the kind has more to say; nobody changes what it points to.
	Detail *Detail
}

// Detail is what only rare facts carry.
type Detail struct {
	// Command is what the client asked for, as one string; "" means the shell.
	Command string
	// Argv is what was started, and Terminal whether it has one.
	Argv     []string
	Terminal bool
	// Why says what limit was reached, or how a key lost its rights.
	Why string
	// Operation, Labels and Email are the grant's.
	Operation string
	Labels    map[string]string
	Email     string
	// Recording is its file, Sealed the hash of its last link once it is complete.
	Recording string
	Sealed    string
	// Forward is what was opened, listened on or came in.
	Forward *Forwarded
}

// Forwarded is one thing that a session of forwards did, or was not let do.
type Forwarded struct {
	// Do is "open", "listen" or "accept".
	Do string
	// Destination is a host and port, a path, or "agent"; Addresses what of the
	// host's could be used.
	Destination string
	Addresses   []netip.Addr
	// From is the peer of what came in, "" when it has no address.
	From string
	// Code says why it was not, "" when it was: one of PROTOCOL.md's.
	Code string
	// Broken says that it ended as a broken connection does.
	Broken bool
}
