package metrics

import (
	"runtime"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"shellagent/shell"
)

const namespace = "shellagent"

// Config is what a [Metrics] is told at the start. The zero value will do.
type Config struct {
	// Version and Commit are the build's, for build_info.
	Version string
	Commit  string
	// Now may be nil, which means time.Now. Ages of sessions use its monotonic
	// reading, so that a clock that is set changes none of them.
	Now func() time.Time
	// Trail tells how the audit trail is, nil when none is kept; it may be nil itself.
	Trail func() *Trail
}

// Metrics counts events. It implements the broker's Observer and is safe for
// concurrent use; [Metrics.Observe] neither blocks on I/O nor allocates for
// stdin and output.
type Metrics struct {
	now      func() time.Time
	registry *prometheus.Registry

	openSeconds    prometheus.Histogram
	stdinSeconds   prometheus.Histogram
	sessionSeconds prometheus.Histogram
	refusals       map[shell.Reason]prometheus.Counter
	reloadOK       prometheus.Gauge
	reloadTime     prometheus.Gauge
	reloadFailures prometheus.Counter
	frontRestarts  prometheus.Counter
	upgrades       prometheus.Counter
	upgradesFailed prometheus.Counter
	recording      recordingMetrics

	// mu guards what follows; hot paths take it for reading only.
	mu       sync.RWMutex
	sources  map[string]bool // configured
	subjects map[string]bool // configured
	placed   map[string]bool // subjects that have a label of their own
	series   map[pair]*series
	live     map[string]*session // by session id; bounded by the session registry
	early    earlyEnds
}

// New returns metrics that know no source and no subject yet; see
// [Metrics.Configure]. The configuration counts as loaded successfully now.
func New(c Config) *Metrics {
	m := &Metrics{
		now:            c.Now,
		registry:       prometheus.NewRegistry(),
		openSeconds:    histogram("open_duration_seconds", "Time from the call that opens a session to the start of its program.", openBuckets),
		stdinSeconds:   histogram("stdin_duration_seconds", "Time from a call with input to its place in the program's queue.", stdinBuckets),
		sessionSeconds: histogram("session_duration_seconds", "Life of ended sessions.", sessionBuckets),
		refusals:       make(map[shell.Reason]prometheus.Counter),
		reloadOK:       gauge("config_last_reload_successful", "Whether the last reload succeeded; while 0, the configuration before it stays in force."),
		reloadTime:     gauge("config_last_reload_success_timestamp_seconds", "When the configuration in force was loaded, in seconds since the epoch."),
		reloadFailures: counter("config_reload_failures_total", "Reloads refused because the configuration was broken."),
		frontRestarts:  counter("front_restarts_total", "Restarts of the front process."),
		upgrades:       counter("upgrades_total", "How often the agent was replaced in place."),
		upgradesFailed: counter("upgrade_failures_total", "Upgrades in place that were refused: the agent goes on as it was."),
		recording:      newRecordingMetrics(),
		series:         make(map[pair]*series),
		placed:         make(map[string]bool),
		live:           make(map[string]*session),
	}
	if m.now == nil {
		m.now = time.Now
	}
	refusals := prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: namespace, Name: "refusals_total", Help: "Refused requests by reason.",
	}, []string{"reason"})
	// Every reason is there from the start: rate() needs the 0 before the first.
	for _, r := range shell.Refusals() {
		if r.Reason.Ordinary() {
			continue
		}
		m.refusals[r.Reason] = refusals.WithLabelValues(string(r.Reason))
	}
	m.reloadOK.Set(1)
	m.reloadTime.Set(seconds(m.now()))
	m.registry.MustRegister(
		m.openSeconds, m.stdinSeconds, m.sessionSeconds, refusals,
		m.reloadOK, m.reloadTime, m.reloadFailures, m.frontRestarts, m.upgrades, m.upgradesFailed,
		m.recording.live, m.recording.bytes, m.recording.segments, m.recording.failures, m.recording.removed,
		buildInfo(c), sessionCollector{m},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	if c.Trail != nil {
		m.registry.MustRegister(trailCollector{c.Trail})
	}
	return m
}

// Observe counts one event. Events of one session may come in any order.
func (m *Metrics) Observe(e shell.Event) {
	switch e.Kind {
	case shell.EventStdin:
		s := m.seriesOf(e.Source, e.Subject)
		s.input.Add(e.Input)
		m.stdinSeconds.Observe(e.Duration.Seconds())
	case shell.EventOutput:
		m.seriesOf(e.Source, e.Subject).output.Add(e.Output)
	case shell.EventOpened:
		m.openSeconds.Observe(e.Duration.Seconds())
		m.open(e)
	case shell.EventEnded:
		m.end(e)
	case shell.EventAttached:
		m.seriesOf(e.Source, e.Subject).attaches.Add(1)
	case shell.EventDetached:
		m.seriesOf(e.Source, e.Subject).detaches.Add(1)
	case shell.EventRefused:
		m.refused(e.Reason, e.Count)
	case shell.EventReloaded:
		m.reloaded(e)
	case shell.EventFrontStarted:
		if e.Count > 0 {
			m.frontRestarts.Inc()
		}
	case shell.EventUpgraded:
		if e.Err != nil {
			m.upgradesFailed.Inc()
		} else {
			m.upgrades.Add(float64(e.Count))
		}
	case shell.EventContinued:
		m.goOn(e)
	default:
		m.recording.observe(e)
	}
}

// refused counts n refusals, one if n is 0, but no ordinary end. A reason outside the table is
// counted as what the client is told in its place.
func (m *Metrics) refused(reason shell.Reason, n uint64) {
	if reason.Ordinary() {
		return
	}
	c, ok := m.refusals[reason]
	if !ok {
		c = m.refusals[reason.Refusal().Reason]
	}
	c.Add(float64(max(n, 1)))
}

func (m *Metrics) reloaded(e shell.Event) {
	if e.Err != nil {
		m.reloadOK.Set(0)
		m.reloadFailures.Inc()
		return
	}
	at := e.Time
	if at.IsZero() {
		at = m.now()
	}
	m.reloadOK.Set(1)
	m.reloadTime.Set(seconds(at))
}

func buildInfo(c Config) prometheus.Collector {
	g := prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: namespace, Name: "build_info", Help: "The build that runs; always 1.",
		ConstLabels: prometheus.Labels{"version": c.Version, "commit": c.Commit, "goversion": runtime.Version()},
	})
	g.Set(1)
	return g
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

func histogram(name, help string, buckets []float64) prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets})
}

func gauge(name, help string) prometheus.Gauge {
	return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help})
}

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help})
}

// Buckets in seconds. An open includes the start of a program and, where
// configured, of verify commands (3 s at most); input is echoed well below what a hand
// notices (50 ms) or waits for a program that does not read (10 s at most); sessions last
// from one command to days.
var (
	openBuckets    = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	stdinBuckets   = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	sessionBuckets = []float64{.1, 1, 10, 60, 300, 900, 3600, 4 * 3600, 8 * 3600, 24 * 3600, 7 * 24 * 3600}
)
