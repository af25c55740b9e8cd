// Package shellhttp is the wire: the protocol of PROTOCOL.md over HTTP/1.1 and
// HTTP/2, as the agent's front serves it and as a client speaks it.
//
// The server half ([NewHandler], [NewServer]) decides nothing. It refuses what
// no client of ours sends, hands every other request to a [Caller] with its
// token unread, and renders the answer: JSON, problem details, or a session's
// frames as Server-Sent Events or in binary.
//
// The client half ([Client], [Session]) signs, opens, checks that the agent is
// the one it knows, and keeps the offset rule in both directions: nothing
// typed and nothing printed is lost, doubled or reordered without an error.
package shellhttp

// Media types and header names of the protocol.
const (
	typeEvents  = "text/event-stream"
	typeFrames  = "application/vnd.shellagent.frames"
	typeJSON    = "application/json"
	typeProblem = "application/problem+json"
	typeStdin   = "application/octet-stream"

	headerNonce = "Shellagent-Nonce"
)

// Encoding is how a stream's frames travel. Both carry the same frames and
// offsets.
type Encoding uint8

const (
	// SSE is the default: Server-Sent Events, which every proxy passes and a
	// person can read.
	SSE Encoding = iota
	// Frames is the binary encoding, for bulk output.
	Frames
)

// mediaType is what the Accept header asks for.
func (e Encoding) mediaType() string {
	if e == Frames {
		return typeFrames
	}
	return typeEvents
}
