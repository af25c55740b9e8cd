package metrics

import "time"

// Trail is how the audit trail is.
type Trail struct {
	// Written and Lost count events, Failures writes; Waiting are in memory.
	Written, Lost, Failures uint64
	Waiting                 int
	Writable                bool
	Sinks                   []Sink
}

// Sink is how a sink of the audit trail is.
type Sink struct {
	Name string
	// Backlog is what waits for it in bytes, Age that of the oldest line of it.
	Backlog int64
	Age     time.Duration
	// Taken and Lost count lines, Failures tries.
	Taken, Lost, Failures uint64
	Up                    bool
}

// trailCollector exports what it is told when it is asked.
type trailCollector struct{ trail func() *Trail }

var (
	auditEvents   = ours(kindCounter, "audit_events_total", "Events written to the audit trail.")
	auditLost     = ours(kindCounter, "audit_events_lost_total", "Events that were never written: the trail could not be, and memory was full.")
	auditFailures = ours(kindCounter, "audit_write_failures_total", "Writes to the audit trail that failed; each is tried again.")
	auditWaiting  = ours(kindGauge, "audit_events_waiting", "Events in memory that are not written yet.")
	auditWritable = ours(kindGauge, "audit_writable", "Whether the last write to the audit trail succeeded.")
	sinkBacklog   = ours(kindGauge, "audit_sink_backlog_bytes", "What waits for a sink of the audit trail.", "sink")
	sinkAge       = ours(kindGauge, "audit_sink_backlog_age_seconds", "Age of the oldest event that a sink is about to take; 0 when none waits.", "sink")
	sinkTaken     = ours(kindCounter, "audit_sink_events_total", "Events that a sink took.", "sink")
	sinkLost      = ours(kindCounter, "audit_sink_events_lost_total", "Events that a sink will not get: it refused them, or they were removed before.", "sink")
	sinkFailures  = ours(kindCounter, "audit_sink_failures_total", "Tries of a sink that failed; each is tried again.", "sink")
	sinkUp        = ours(kindGauge, "audit_sink_up", "Whether a sink's last try succeeded.", "sink")
)

func (c trailCollector) collect(to *scrape) {
	t := c.trail()
	if t == nil {
		return
	}
	to.one(auditEvents, float64(t.Written))
	to.one(auditLost, float64(t.Lost))
	to.one(auditFailures, float64(t.Failures))
	to.one(auditWaiting, float64(t.Waiting))
	to.one(auditWritable, truth(t.Writable))
	for _, s := range t.Sinks {
		to.one(sinkBacklog, float64(s.Backlog), s.Name)
		to.one(sinkAge, s.Age.Seconds(), s.Name)
		to.one(sinkTaken, float64(s.Taken), s.Name)
		to.one(sinkLost, float64(s.Lost), s.Name)
		to.one(sinkFailures, float64(s.Failures), s.Name)
		to.one(sinkUp, truth(s.Up), s.Name)
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
