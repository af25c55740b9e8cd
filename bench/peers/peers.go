// Package peers sets up what the benchmark compares: this agent, OpenSSH and
// dropbear, each with its server on this machine, one user whose shell they all
// start, and one key that opens them all. It knows their command lines; nobody
// else does.
package peers

import (
	"errors"

	"shellagent/bench/driver"
	"shellagent/internal/longline"
)

// ErrNotOffered is wrapped when a peer has no such feature.
var ErrNotOffered = errors.New("not offered")

// Ask says what a client is asked for, in nobody's own words.
type Ask struct {
	// Command is run by the user's shell; empty asks for the shell itself.
	Command string
	// Terminal runs it on a terminal of the server's.
	Terminal bool
	// Line is the way to the server; nil is the loopback interface.
	Line *longline.Line
	// Cover hides when keys are typed: "on", "off", or "" for the peer's default.
	Cover string
	// Compress compresses the connection.
	Compress bool
	// Cipher is one of OpenSSH's; empty is the peer's default.
	Cipher string
	// Shared goes over a connection that is there already.
	Shared bool
	// Through is the port of a relay on this machine that leads to the server; 0
	// goes there at once.
	Through int
	// Recorded has the server keep what the session shows.
	Recorded Recorded
	// Many lifts the server's limits on how many may come at once.
	Many bool
}

// Recorded says how a session is recorded.
type Recorded string

// The ways.
const (
	Unrecorded        Recorded = ""
	RecordedPlain     Recorded = "recorded"
	RecordedEncrypted Recorded = "encrypted"
)

// Peer is one of those that are compared.
type Peer interface {
	// Name is how the report calls it.
	Name() string
	// Command returns the client's command line for what is asked, or an error
	// that wraps ErrNotOffered.
	Command(Ask) (driver.Command, error)
	// Servers returns the process ids of the server now: its own processes and
	// those it made for sessions, not the users' programs.
	Servers() ([]int, error)
}
