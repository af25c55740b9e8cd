package metrics

import "shellagent/shell"

// recordingMetrics count what is kept of sessions.
type recordingMetrics struct {
	live     *gauge
	bytes    *counter
	segments *counter
	failures *counter
	removed  *counter
}

func newRecordingMetrics() recordingMetrics {
	return recordingMetrics{
		live:     newGauge("recordings", "Recordings that are being written."),
		bytes:    newCounter("recorded_bytes_total", "Bytes written to recordings, as they are stored."),
		segments: newCounter("recorded_segments_total", "Pieces of recordings written, each sealed by itself."),
		failures: newCounter("recordings_failed_total", "Recordings that could not begin, or not go on."),
		removed:  newCounter("recordings_removed_total", "Recordings removed because of their age, or of the size of all."),
	}
}

func (r *recordingMetrics) observe(e shell.Event) {
	switch e.Kind {
	case shell.EventRecording:
		r.live.add(1)
	case shell.EventSegment:
		r.segments.inc()
		r.bytes.add(e.Output)
	case shell.EventRecorded:
		r.live.add(-1)
	case shell.EventRecordingRemoved:
		r.removed.add(max(e.Count, 1))
	case shell.EventRecordingFailed:
		r.failures.inc()
		if e.Count > 0 { // it was being written
			r.live.add(-1)
		}
	}
}
