package jwtauth

// Reason says exactly why a token was refused. It is meant for a log and a
// metric; what a stranger is told should say less.
const (
	ReasonMalformed   = "token_malformed" // not three strict base64url parts within the bounds
	ReasonHeader      = "token_header"    // header members other than alg, typ and kid, or ill-formed ones
	ReasonType        = "token_type"      // typ is none of the three
	ReasonAlgorithm   = "token_algorithm" // alg is unknown, or not the key's
	ReasonSignature   = "signature"       // the signature does not hold
	ReasonClaims      = "claims"          // claims missing, malformed, doubled or out of place
	ReasonLifetime    = "lifetime"        // exp − iat is not within (0, 5 s]
	ReasonAudience    = "audience"        // made for somebody else
	ReasonRequestHash = "request_hash"    // made for another method, target or body
	ReasonStale       = "stale"           // its time is not the judge's; carries a nonce
	ReasonNonce       = "nonce"           // its nonce is used, lapsed or foreign; carries a new one
	ReasonReplay      = "replay"          // its jti was taken before
	ReasonReplayFull  = "replay_full"     // too many live tokens of this key, or of too many keys
	ReasonCounter     = "counter"         // its counter was taken before, or left the window
)

// Error is every refusal of this package. Find it with errors.As.
type Error struct {
	// Reason is one of the Reason constants.
	Reason string
	// Nonce is set with ReasonStale and ReasonNonce: a token made again that
	// carries it is judged by it and not by its times (RFC 9449 §8).
	Nonce string
	// Err explains, for a log. It may be nil.
	Err error
}

func (e *Error) Error() string {
	if e.Err == nil {
		return "token refused: " + e.Reason
	}
	return "token refused: " + e.Reason + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

func refuse(reason string, err error) *Error { return &Error{Reason: reason, Err: err} }
