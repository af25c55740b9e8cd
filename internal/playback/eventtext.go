package playback

import (
	"fmt"
	"strings"
	"time"

	"shellagent/audit"
)

// eventText is an event in a line for a person.
func eventText(e *audit.Event) string {
	parts := []string{e.Time.Local().Format("2006-01-02 15:04:05"), string(e.Kind)}
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if who := whoText(e); who != "" {
		add("%s", who)
	}
	if e.Source != "" {
		add("by %s", e.Source)
	}
	if e.Remote != "" {
		add("from %s", e.Remote)
	}
	if e.Reason != "" {
		add("(%s)", e.Reason)
	}
	if e.Count > 1 {
		add("%d times", e.Count)
	}
	if command := commandText(e); command != "" {
		add("ran %s", command)
	}
	if e.Exit != nil {
		add("exit %d", *e.Exit)
	}
	if e.Signal != "" {
		add("by SIG%s", e.Signal)
	}
	if e.Kind == audit.SessionEnded && e.Output != nil && e.Input != nil {
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

func whoText(e *audit.Event) string {
	who := e.Subject
	if who == "" && e.Key != "" {
		who = "key " + e.Key
	}
	if e.User == "" {
		return who
	}
	return strings.TrimSpace(who + " as " + e.User)
}

func commandText(e *audit.Event) string {
	if e.Command != "" {
		return e.Command
	}
	return strings.Join(e.Argv, " ")
}
