package metrics

import (
	"testing"
	"time"
)

func TestTrail(t *testing.T) {
	var trail *Trail
	m := New(Config{Trail: func() *Trail { return trail }})
	names := []string{
		"shellagent_audit_events_total", "shellagent_audit_writable", "shellagent_audit_sink_backlog_bytes",
		"shellagent_audit_sink_backlog_age_seconds", "shellagent_audit_sink_up", "shellagent_audit_sink_events_lost_total",
	}
	wants(t, m, names, "")
	trail = &Trail{Written: 3, Writable: true, Sinks: []Sink{{Name: "siem", Backlog: 10, Age: time.Minute, Lost: 2}}}
	wants(t, m, names, `shellagent_audit_events_total 3
shellagent_audit_sink_backlog_age_seconds{sink="siem"} 60
shellagent_audit_sink_backlog_bytes{sink="siem"} 10
shellagent_audit_sink_events_lost_total{sink="siem"} 2
shellagent_audit_sink_up{sink="siem"} 0
shellagent_audit_writable 1`)
}
