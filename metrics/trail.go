package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

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

var _ prometheus.Collector = trailCollector{}

var (
	auditEventsDesc   = desc("audit_events_total", "Events written to the audit trail.")
	auditLostDesc     = desc("audit_events_lost_total", "Events that were never written: the trail could not be, and memory was full.")
	auditFailuresDesc = desc("audit_write_failures_total", "Writes to the audit trail that failed; each is tried again.")
	auditWaitingDesc  = desc("audit_events_waiting", "Events in memory that are not written yet.")
	auditWritableDesc = desc("audit_writable", "Whether the last write to the audit trail succeeded.")
	sinkBacklogDesc   = desc("audit_sink_backlog_bytes", "What waits for a sink of the audit trail.", "sink")
	sinkAgeDesc       = desc("audit_sink_backlog_age_seconds", "Age of the oldest event that a sink is about to take; 0 when none waits.", "sink")
	sinkTakenDesc     = desc("audit_sink_events_total", "Events that a sink took.", "sink")
	sinkLostDesc      = desc("audit_sink_events_lost_total", "Events that a sink will not get: it refused them, or they were removed before.", "sink")
	sinkFailuresDesc  = desc("audit_sink_failures_total", "Tries of a sink that failed; each is tried again.", "sink")
	sinkUpDesc        = desc("audit_sink_up", "Whether a sink's last try succeeded.", "sink")
	descsOfTrail      = []*prometheus.Desc{
		auditEventsDesc, auditLostDesc, auditFailuresDesc, auditWaitingDesc, auditWritableDesc,
		sinkBacklogDesc, sinkAgeDesc, sinkTakenDesc, sinkLostDesc, sinkFailuresDesc, sinkUpDesc,
	}
)

// Describe implements [prometheus.Collector].
func (c trailCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range descsOfTrail {
		out <- d
	}
}

// Collect implements [prometheus.Collector].
func (c trailCollector) Collect(out chan<- prometheus.Metric) {
	t := c.trail()
	if t == nil {
		return
	}
	tell := func(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, kind, v, labels...)
	}
	tell(auditEventsDesc, prometheus.CounterValue, float64(t.Written))
	tell(auditLostDesc, prometheus.CounterValue, float64(t.Lost))
	tell(auditFailuresDesc, prometheus.CounterValue, float64(t.Failures))
	tell(auditWaitingDesc, prometheus.GaugeValue, float64(t.Waiting))
	tell(auditWritableDesc, prometheus.GaugeValue, truth(t.Writable))
	for _, s := range t.Sinks {
		tell(sinkBacklogDesc, prometheus.GaugeValue, float64(s.Backlog), s.Name)
		tell(sinkAgeDesc, prometheus.GaugeValue, s.Age.Seconds(), s.Name)
		tell(sinkTakenDesc, prometheus.CounterValue, float64(s.Taken), s.Name)
		tell(sinkLostDesc, prometheus.CounterValue, float64(s.Lost), s.Name)
		tell(sinkFailuresDesc, prometheus.CounterValue, float64(s.Failures), s.Name)
		tell(sinkUpDesc, prometheus.GaugeValue, truth(s.Up), s.Name)
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
