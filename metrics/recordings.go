package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"shellagent/shell"
)

// recordingMetrics count what is kept of sessions.
type recordingMetrics struct {
	live     prometheus.Gauge
	bytes    prometheus.Counter
	segments prometheus.Counter
	failures prometheus.Counter
	removed  prometheus.Counter
}

func newRecordingMetrics() recordingMetrics {
	return recordingMetrics{
		live:     gauge("recordings", "Recordings that are being written."),
		bytes:    counter("recorded_bytes_total", "Bytes written to recordings, as they are stored."),
		segments: counter("recorded_segments_total", "Pieces of recordings written, each sealed by itself."),
		failures: counter("recordings_failed_total", "Recordings that could not begin, or not go on."),
		removed:  counter("recordings_removed_total", "Recordings removed because of their age, or of the size of all."),
	}
}

func (r *recordingMetrics) observe(e shell.Event) {
	switch e.Kind {
	case shell.EventRecording:
		r.live.Inc()
	case shell.EventSegment:
		r.segments.Inc()
		r.bytes.Add(float64(e.Output))
	case shell.EventRecorded:
		r.live.Dec()
	case shell.EventRecordingRemoved:
		r.removed.Add(float64(max(e.Count, 1)))
	case shell.EventRecordingFailed:
		r.failures.Inc()
		if e.Count > 0 { // it was being written
			r.live.Dec()
		}
	}
}
