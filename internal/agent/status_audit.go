package agent

import (
	"fmt"
	"time"

	"shellagent/audit/sink"
)

// auditStatus is how the audit trail is.
type auditStatus struct {
	Dir string `json:"dir"`
	// Written and Lost count events since the agent's start, Failures the writes
	// that failed; Waiting are in memory.
	Written  uint64 `json:"written"`
	Lost     uint64 `json:"lost"`
	Failures uint64 `json:"failures"`
	Waiting  int    `json:"waiting"`
	// Error is why nothing can be written at the moment; "" when it can.
	Error string       `json:"error,omitempty"`
	Sinks []sinkStatus `json:"sinks"`
}

// sinkStatus is how a sink is.
type sinkStatus struct {
	Name string `json:"name"`
	Type string `json:"type"`
	// Backlog is what waits for it in bytes, Oldest since when.
	Backlog int64     `json:"backlogBytes"`
	Oldest  time.Time `json:"oldest,omitzero"`
	// Taken and Lost count lines, Failures tries.
	Taken    uint64 `json:"taken"`
	Lost     uint64 `json:"lost"`
	Failures uint64 `json:"failures"`
	// Error is why the last try failed; "" when it did not.
	Error string `json:"error,omitempty"`
}

// auditStatus is nil when no trail is kept.
func (a *agent) auditStatus() *auditStatus {
	if a.audit == nil {
		return nil
	}
	s := a.audit.log.State()
	out := &auditStatus{
		Dir: a.config.Audit.Dir, Written: s.Written, Lost: s.Lost, Failures: s.Failures, Waiting: s.Waiting,
		Error: errorText(s.Err), Sinks: []sinkStatus{},
	}
	for _, one := range append(a.audit.sinks.States(), a.audit.drains.sinks.States()...) {
		out.Sinks = append(out.Sinks, statusOfSink(one))
	}
	return out
}

func statusOfSink(s sink.State) sinkStatus {
	return sinkStatus{s.Name, s.Type, s.Backlog, s.Oldest, s.Taken, s.Lost, s.Failures, errorText(s.Err)}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// printAuditStatus prints the rows of the trail and of its sinks.
func printAuditStatus(row func(name, format string, args ...any), s *auditStatus, now time.Time) {
	if s == nil {
		row("audit trail", "none")
		return
	}
	row("audit trail", "%s, %d events written", s.Dir, s.Written)
	if s.Error != "" {
		row("", "CANNOT BE WRITTEN, %d events wait: %s", s.Waiting, s.Error)
	}
	if s.Lost > 0 {
		row("", "%d EVENTS ARE LOST", s.Lost)
	}
	for _, one := range s.Sinks {
		row("sink "+one.Name, "%s", sinkText(one, now))
		if one.Error != "" {
			row("", "FAILS: %s", one.Error)
		}
		if one.Lost > 0 {
			row("", "%d LINES IT WILL NOT GET", one.Lost)
		}
	}
}

func sinkText(s sinkStatus, now time.Time) string {
	if s.Backlog == 0 {
		return fmt.Sprintf("%s, has all, %d lines", s.Type, s.Taken)
	}
	text := fmt.Sprintf("%s, %d bytes wait", s.Type, s.Backlog)
	if !s.Oldest.IsZero() {
		text += fmt.Sprintf(", for %v", now.Sub(s.Oldest).Round(time.Second))
	}
	return text
}
