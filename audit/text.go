package audit

import (
	"fmt"
	"strings"
	"time"
)

// String is the event in a line for a person, without its time. It may hold
// whatever a client sent: who prints it to a terminal has to clean it.
func (e *Event) String() string {
	if e.Kind == SessionOutput {
		return e.OperationID + ": " + e.Line
	}
	parts := []string{string(e.Kind)}
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if who := e.who(); who != "" {
		add("%s", who)
	}
	if e.Source != "" {
		add("by %s", e.Source)
	}
	if e.Remote != "" {
		add("from %s", e.Remote)
	}
	if e.Forward != "" {
		add("%s %s", e.Forward, e.Destination)
	}
	if e.Peer != "" {
		add("for %s", e.Peer)
	}
	if e.Sink != "" {
		add("sink %s", e.Sink)
	}
	if e.Reason != "" {
		add("(%s)", e.Reason)
	}
	if e.Count > 1 {
		add("%d times", e.Count)
	}
	if command := e.command(); command != "" {
		add("ran %s", command)
	}
	if e.Exit != nil {
		add("exit %d", *e.Exit)
	}
	if e.Signal != "" {
		add("by SIG%s", e.Signal)
	}
	if (e.Kind == SessionEnded || e.Kind == ForwardEnded) && e.Output != nil && e.Input != nil {
		add("after %v, %d bytes out, %d in", time.Duration(e.Duration*float64(time.Second)).Round(time.Millisecond), *e.Output, *e.Input)
	}
	if e.Session != "" {
		add("session %s", e.Session)
	}
	if e.Error != "" {
		add(": %s", e.Error)
	}
	return strings.Join(parts, " ")
}

func (e *Event) who() string {
	who := e.Subject
	if who == "" && e.Key != "" {
		who = "key " + e.Key
	}
	if e.User == "" {
		return who
	}
	return strings.TrimSpace(who + " as " + e.User)
}

func (e *Event) command() string {
	if e.Command != "" {
		return e.Command
	}
	return strings.Join(e.Argv, " ")
}
