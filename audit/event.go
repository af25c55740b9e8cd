package audit

import (
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Version is the schema's. A name is never given another meaning within it;
// names may be added.
const Version = 1

// Kind names a fact.
type Kind string

// The facts. docs/audit.md says when each is told, and which fields it has.
const (
	TrailBegins    Kind = "trail.begins"
	TrailContinues Kind = "trail.continues"
	TrailRepaired  Kind = "trail.repaired"
	TrailLost      Kind = "trail.lost"

	AgentStarted     Kind = "agent.started"
	AgentStopped     Kind = "agent.stopped"
	AgentUpgraded    Kind = "agent.upgraded"
	FrontRestarted   Kind = "front.restarted"
	PolicyReloaded   Kind = "policy.reloaded"
	KeyRevoked       Kind = "key.revoked"
	RequestRefused   Kind = "request.refused"
	SessionOpened    Kind = "session.opened"
	SessionAttached  Kind = "session.attached"
	SessionDetached  Kind = "session.detached"
	SessionWatched   Kind = "session.watched"
	SessionContinued Kind = "session.continued"
	SessionEnded     Kind = "session.ended"
	CommandRun       Kind = "command.run"
	LimitReached     Kind = "limit.reached"
	ForwardOpened    Kind = "forward.opened"
	ForwardEnded     Kind = "forward.ended"
	ForwardDenied    Kind = "forward.denied"
	ForwardFailed    Kind = "forward.failed"
	RecordingFailed  Kind = "recording.failed"

	// Of the trail of output alone; see package drain.
	SessionOutput Kind = "session.output"
	SessionGap    Kind = "session.gap"

	// RecordingComplete comes after the session's end.
	RecordingComplete Kind = "recording.complete"
	RecordingRemoved  Kind = "recording.removed"
)

// Event is one fact. Fields that a kind does not have are left out of its line.
type Event struct {
	Version int       `json:"v"`
	Time    time.Time `json:"time"`
	Kind    Kind      `json:"event"`
	Host    string    `json:"host,omitzero"`

	Session   string `json:"session,omitzero"`
	Operation string `json:"operation,omitzero"`
	Source    string `json:"source,omitzero"`
	Subject   string `json:"subject,omitzero"`
	Email     string `json:"email,omitzero"`
	Key       string `json:"key,omitzero"` // thumbprint
	User      string `json:"user,omitzero"`
	UID       *int64 `json:"uid,omitzero"`
	Remote    string `json:"remote,omitzero"` // address

	// Command is what was asked for, Argv what ran.
	Command  string            `json:"command,omitzero"`
	Argv     []string          `json:"argv,omitzero"`
	Terminal bool              `json:"terminal,omitzero"`
	Labels   map[string]string `json:"labels,omitzero"`

	// Reason is a refusal's code, what limit was reached, why a session was ended, or
	// how a key lost its rights.
	Reason string `json:"reason,omitzero"`
	// Sink is who did not get what trail.lost tells.
	Sink string `json:"sink,omitzero"`
	// Count is how many facts the line stands for; 0 means one.
	Count uint64 `json:"count,omitzero"`

	// Exit is the code, Signal what ended the program.
	Exit   *int   `json:"exit,omitzero"`
	Signal string `json:"signal,omitzero"`
	// Input and Output are bytes.
	Input    *uint64 `json:"inputBytes,omitzero"`
	Output   *uint64 `json:"outputBytes,omitzero"`
	Duration float64 `json:"seconds,omitzero"`

	// Recording is its file below the agent's folder of recordings, Sealed the hash
	// of its last link once it is complete.
	Recording string `json:"recording,omitzero"`
	Sealed    string `json:"recordingSum,omitzero"`

	// Forward is "open", "listen" or "accept", Destination a host and port, a path or
	// "agent", Addresses what a name stood for, and Peer who came in.
	Forward     string   `json:"forward,omitzero"`
	Destination string   `json:"destination,omitzero"`
	Addresses   []string `json:"addresses,omitzero"`
	Peer        string   `json:"peer,omitzero"`
	// Broken says that a connection ended otherwise than in order.
	Broken bool `json:"broken,omitzero"`

	Agent string `json:"agent,omitzero"` // version
	Error string `json:"error,omitzero"`

	// Of the trail of output: whose it is, in the words of log drains, and a line
	// of it, from "stdout" or "stderr".
	OperationID        string `json:"operation_id,omitzero"`
	OperationUserName  string `json:"operation_user_name,omitzero"`
	OperationUserEmail string `json:"operation_user_email,omitzero"`
	Stream             string `json:"stream,omitzero"`
	Line               string `json:"line,omitzero"`

	// Of trail.begins.
	HostKey     string `json:"hostKey,omitzero"`
	Certificate string `json:"certificate,omitzero"`
	Previous    string `json:"previous,omitzero"` // hash of the link before
}

// maxEvent bounds an event's line in bytes, the seal included; a command, a label or a
// line of output that would exceed it is cut.
const maxEvent = 64 << 10

// encode is the event's JSON object.
func (e *Event) encode() ([]byte, error) {
	b, err := json.Marshal(e, json.Deterministic(true), jsontext.EscapeForHTML(false), jsontext.AllowInvalidUTF8(true))
	if err != nil || len(b) <= maxEvent-maxSeal {
		return b, err
	}
	short := *e
	short.Command = cutText(short.Command)
	short.Error = cutText(short.Error)
	short.Line = cutText(short.Line)
	short.Argv, short.Labels = []string{"(too long)"}, nil
	return json.Marshal(&short, json.Deterministic(true), jsontext.AllowInvalidUTF8(true))
}

func cutText(s string) string {
	const most = 4 << 10
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
