package audit

import (
	"shellagent/shell"
)

// factsOf are the lines of a fact, none for one that is only counted. Beside its
// refusal a request that came over a limit tells the limit.
func factsOf(e *shell.Event) []*Event {
	kind, ok := kinds[e.Kind]
	if !ok {
		return nil
	}
	f := &Event{
		Kind: kind, Time: e.Time, Session: e.Session, Source: e.Source, Subject: e.Subject, Key: e.Key, User: e.User,
	}
	if e.Remote.IsValid() {
		f.Remote = e.Remote.Unmap().String()
	}
	if e.User != "" {
		uid := int64(e.UID)
		f.UID = &uid
	}
	if e.Err != nil {
		f.Error = e.Err.Error()
	}
	if d := e.Detail; d != nil {
		f.Command, f.Argv, f.Terminal, f.Reason = d.Command, d.Argv, d.Terminal, d.Why
		f.Operation, f.Labels, f.Email, f.Recording, f.Sealed = d.Operation, d.Labels, d.Email, d.Recording, d.Sealed
	}
	return complete(f, e)
}

// forwarded adds what was opened, listened on or came in, and what crossed it.
func (f *Event) forwarded(e *shell.Event) {
	d := e.Detail.Forward
	f.Forward, f.Destination, f.Peer, f.Reason, f.Broken = d.Do, d.Destination, d.From, d.Code, d.Broken
	for _, a := range d.Addresses {
		f.Addresses = append(f.Addresses, a.String())
	}
	if e.Kind == shell.EventForwardEnded && d.Code == "" {
		in, out := e.Input, e.Output
		f.Input, f.Output, f.Duration = &in, &out, e.Duration.Seconds()
	}
}

var kinds = map[shell.EventKind]Kind{
	shell.EventOpened:       SessionOpened,
	shell.EventEnded:        SessionEnded,
	shell.EventAttached:     SessionAttached,
	shell.EventDetached:     SessionDetached,
	shell.EventWatched:      SessionWatched,
	shell.EventContinued:    SessionContinued,
	shell.EventRefusals:     RequestRefused,
	shell.EventReloaded:     PolicyReloaded,
	shell.EventFrontStarted: FrontRestarted,
	shell.EventUpgraded:     AgentUpgraded,
	shell.EventLimit:        LimitReached,
	shell.EventKeyRevoked:   KeyRevoked,

	shell.EventForwardOpened: ForwardOpened,
	shell.EventForwardEnded:  ForwardEnded,
	shell.EventForwardDenied: ForwardDenied,
	shell.EventForwardFailed: ForwardFailed,

	shell.EventStarted: AgentStarted,
	shell.EventStopped: AgentStopped,

	shell.EventRecorded:         RecordingComplete,
	shell.EventRecordingFailed:  RecordingFailed,
	shell.EventRecordingRemoved: RecordingRemoved,
}

// complete adds what only this kind has.
func complete(f *Event, e *shell.Event) []*Event {
	switch e.Kind {
	case shell.EventOpened:
		f.Duration = e.Duration.Seconds()
		if f.Command != "" {
			run := *f
			run.Kind, run.Duration = CommandRun, 0
			return []*Event{f, &run}
		}
	case shell.EventEnded:
		code, in, out := e.Exit.Code, e.Input, e.Output
		f.Exit, f.Signal, f.Reason, f.Input, f.Output = &code, e.Exit.Signal, e.Exit.Reason, &in, &out
		f.Duration = e.Duration.Seconds()
	case shell.EventForwardOpened, shell.EventForwardEnded, shell.EventForwardDenied, shell.EventForwardFailed:
		f.forwarded(e)
	case shell.EventContinued:
		f.Duration = e.Duration.Seconds()
	case shell.EventRefusals:
		f.Reason, f.Count = string(e.Reason), e.Count
		if e.Reason == shell.ReasonMaxSessions {
			limit := *f
			limit.Kind = LimitReached
			return []*Event{f, &limit}
		}
	case shell.EventFrontStarted:
		if f.Count = e.Count; f.Count == 0 {
			return nil // the agent's start says it
		}
	case shell.EventUpgraded:
		f.Count = e.Count
	}
	return []*Event{f}
}
