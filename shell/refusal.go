package shell

// Reason says exactly why something was refused. It goes to the log and to
// metrics; what the client is told is the [Refusal]'s Code, which says less.
type Reason string

// Refusal is a row of the one table that drives codes, metrics, tests and
// PROTOCOL.md.
type Refusal struct {
	Reason Reason
	// Code is stable: clients may match on it.
	Code string
	// Status is the HTTP status that carries it.
	Status int
	// Text is what the client is told, with the remedy.
	Text string
}

// What a client is told when the agent does not say why. Everything that would
// help somebody without a right to be here looks like this.
const unauthorized = "the agent refused this key for this source; its log says why (its owner can run: agent check --as KEY SOURCE)"

// Reasons. The first group is found by the front, before anybody is known.
const (
	ReasonMalformed        Reason = "malformed_request"
	ReasonOrigin           Reason = "origin"
	ReasonTransferEncoding Reason = "transfer_encoding"
	ReasonAuthorization    Reason = "authorization_header"
	ReasonNoToken          Reason = "no_token"
	ReasonTargetForm       Reason = "target_form"
	ReasonNoLength         Reason = "no_length"
	ReasonBodyTooLarge     Reason = "body_too_large"
	ReasonHeaderTooLarge   Reason = "header_too_large"
	ReasonBodyTimeout      Reason = "body_timeout"
	ReasonUnavailable      Reason = "broker_unavailable"

	ReasonTokenMalformed Reason = "token_malformed"
	ReasonTokenHeader    Reason = "token_header"
	ReasonTokenType      Reason = "token_type"
	ReasonTokenAlgorithm Reason = "token_algorithm"
	ReasonUnknownKey     Reason = "unknown_key"
	ReasonSignature      Reason = "signature"
	ReasonClaims         Reason = "claims"
	ReasonLifetime       Reason = "lifetime"
	ReasonAudience       Reason = "audience"
	ReasonRequestHash    Reason = "request_hash"
	ReasonStale          Reason = "stale"
	ReasonNonce          Reason = "nonce"
	ReasonReplay         Reason = "replay"
	ReasonReplayFull     Reason = "replay_full"
	ReasonCounter        Reason = "counter"
	ReasonKeyBusy        Reason = "key_busy"

	ReasonUnknownSource Reason = "unknown_source"
	ReasonSourceKey     Reason = "key_not_in_source"
	ReasonKeyExpired    Reason = "key_expired"
	ReasonKeyAddress    Reason = "key_address"
	ReasonKeyRevoked    Reason = "key_revoked"
	ReasonRule          Reason = "jwt_rule"
	ReasonVerifyCommand Reason = "verify_command"
	ReasonUser          Reason = "user"
	ReasonLookup        Reason = "user_lookup"
	ReasonShell         Reason = "shell"
	ReasonAction        Reason = "action"
	ReasonCommand       Reason = "command"
	ReasonOpenRequest   Reason = "open_request"
	ReasonMaxSessions   Reason = "max_sessions"
	ReasonRateLimited   Reason = "rate_limited"
	ReasonStopping      Reason = "stopping"
	ReasonNoTrial       Reason = "no_trial"
	ReasonRecording     Reason = "recording"
	ReasonStart         Reason = "start"

	ReasonRoute           Reason = "route"
	ReasonMethod          Reason = "method"
	ReasonSessionUnknown  Reason = "session_unknown"
	ReasonSessionEnded    Reason = "session_ended"
	ReasonSessionConflict Reason = "session_conflict"
	ReasonSessionOwner    Reason = "session_owner"
	ReasonTakenOver       Reason = "taken_over"
	ReasonOffset          Reason = "offset"
	ReasonOutput          Reason = "output"
	ReasonBody            Reason = "body"
	ReasonInternal        Reason = "internal"
)

var refusals = []Refusal{
	{ReasonMalformed, "bad_request", 400, "the request is not one this agent understands"},
	{ReasonOrigin, "bad_request", 400, "requests from web pages are refused"},
	{ReasonTransferEncoding, "bad_request", 400, "Transfer-Encoding is refused: send Content-Length"},
	{ReasonAuthorization, "bad_request", 400, "send exactly one Authorization header, with the Bearer scheme"},
	{ReasonNoToken, "unauthorized", 401, unauthorized},
	{ReasonTargetForm, "bad_request", 400, "the path must be plain: no escapes, no empty segments, no absolute form"},
	{ReasonNoLength, "length_required", 411, "send Content-Length"},
	{ReasonBodyTooLarge, "too_large", 413, "the body is larger than this request may be"},
	{ReasonHeaderTooLarge, "header_too_large", 431, "the request's headers are too large"},
	{ReasonBodyTimeout, "timeout", 408, "the body did not arrive in time: send it again"},
	{ReasonUnavailable, "unavailable", 503, "the agent is busy or restarting: try again"},

	{ReasonTokenMalformed, "unauthorized", 401, unauthorized},
	{ReasonTokenHeader, "unauthorized", 401, unauthorized},
	{ReasonTokenType, "unauthorized", 401, unauthorized},
	{ReasonTokenAlgorithm, "unauthorized", 401, unauthorized},
	{ReasonUnknownKey, "unauthorized", 401, unauthorized},
	{ReasonSignature, "unauthorized", 401, unauthorized},
	{ReasonClaims, "unauthorized", 401, unauthorized},
	{ReasonLifetime, "unauthorized", 401, unauthorized},
	{ReasonAudience, "unauthorized", 401, unauthorized},
	{ReasonRequestHash, "unauthorized", 401, unauthorized},
	{ReasonStale, "stale", 401, "the token's time is not the agent's: sign again with the nonce"},
	{ReasonNonce, "stale", 401, "the nonce was used, is too old or is not the agent's: sign again with the new one"},
	{ReasonReplay, "replayed", 401, "the token was used before: sign a new one"},
	{ReasonReplayFull, "busy", 429, "too many tokens of this key within seconds: try again shortly"},
	{ReasonCounter, "replayed", 401, "the token's counter was used before: sign a new one"},
	{ReasonKeyBusy, "busy", 429, "too many requests of this key are in progress: try again shortly"},

	{ReasonUnknownSource, "unauthorized", 401, unauthorized},
	{ReasonSourceKey, "unauthorized", 401, unauthorized},
	{ReasonKeyExpired, "unauthorized", 401, unauthorized},
	{ReasonKeyAddress, "unauthorized", 401, unauthorized},
	{ReasonKeyRevoked, "unauthorized", 401, unauthorized},
	{ReasonRule, "unauthorized", 401, unauthorized},
	{ReasonVerifyCommand, "unauthorized", 401, unauthorized},
	{ReasonUser, "user_unavailable", 403, "the source's user does not exist, is locked or has expired on this host"},
	{ReasonLookup, "lookup_failed", 503, "the host could not look up the source's user, which says nothing about the user: try again; the agent's log says why"},
	{ReasonShell, "shell_unavailable", 403, "the source's shell cannot be used on this host"},
	{ReasonAction, "action_denied", 403, "the source does not allow this kind of session"},
	{ReasonCommand, "command_denied", 403, "the source does not allow this command"},
	{ReasonOpenRequest, "bad_request", 400, "the open request is not valid"},
	{ReasonMaxSessions, "too_many_sessions", 429, "the source has as many sessions as it allows: end one (agent sessions, agent kill) or raise maxSessions"},
	{ReasonRateLimited, "rate_limited", 429, "too many refused requests from this address: wait"},
	{ReasonStopping, "unavailable", 503, "the agent is stopping: try again"},
	{ReasonNoTrial, "nothing_to_confirm", 409, "no reload waits for a confirmation: it was confirmed, rolled back, or none was asked for"},
	{ReasonRecording, "recording_failed", 503, "sessions of this source are recorded, and the recording could not be begun; the agent's log says why"},
	{ReasonStart, "start_failed", 500, "the program could not be started on the host; the agent's log says why"},

	{ReasonRoute, "not_found", 404, "there is nothing at this path"},
	{ReasonMethod, "method_not_allowed", 405, "this path does not take this method"},
	{ReasonSessionUnknown, "session_not_found", 404, "there is no such session: it ended, or never was"},
	{ReasonSessionEnded, "session_ended", 410, "the session has ended"},
	{ReasonSessionConflict, "session_conflict", 409, "this session key already opened another session: make a new one"},
	{ReasonSessionOwner, "session_not_found", 404, "there is no such session: it ended, or never was"},
	{ReasonTakenOver, "taken_over", 409, "another client has taken this session over"},
	{ReasonOffset, "offset_gap", 409, "input before this offset is missing: send from the expected offset"},
	{ReasonOutput, "output_unavailable", 416, "output at this offset is not kept: it was acknowledged, or never was"},
	{ReasonBody, "bad_request", 400, "the body is not valid for this request"},
	{ReasonInternal, "internal", 500, "the agent failed at this; its log says why"},
}

var refusalByReason = func() map[Reason]Refusal {
	m := make(map[Reason]Refusal, len(refusals))
	for _, r := range refusals {
		m[r.Reason] = r
	}
	return m
}()

// Refusals returns the table, in the order in which a request meets its rows.
func Refusals() []Refusal { return append([]Refusal(nil), refusals...) }

// Refusal returns the row of a reason; an unknown one is answered as internal.
func (r Reason) Refusal() Refusal {
	if row, ok := refusalByReason[r]; ok {
		return row
	}
	return refusalByReason[ReasonInternal]
}

// Ordinary says that a refusal with this reason is a part of how sessions end:
// their own client sent something on before it knew. It is told to the client,
// and is neither counted nor logged as a refusal.
func (r Reason) Ordinary() bool { return r == ReasonSessionEnded }

// Denied is an error with the reason of a refusal: Error's text is for the log.
type Denied struct {
	Reason Reason
	// Err explains, for the log alone. It may be nil.
	Err error
	// Public, when not empty, replaces the row's text for the client. It must
	// not tell an unauthorized caller anything.
	Public string
}

func (d *Denied) Error() string {
	if d.Err == nil {
		return string(d.Reason)
	}
	return string(d.Reason) + ": " + d.Err.Error()
}

func (d *Denied) Unwrap() error { return d.Err }

// Deny returns a *Denied. err may be nil.
func Deny(reason Reason, err error) *Denied { return &Denied{Reason: reason, Err: err} }
