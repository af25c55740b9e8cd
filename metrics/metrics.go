package metrics

import (
	"runtime"
	"sync"
	"time"

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
	now func() time.Time
	all []collector

	openSeconds    *histogram
	stdinSeconds   *histogram
	sessionSeconds *histogram
	refusals       map[shell.Reason]*counter
	reloadOK       *gauge
	reloadTime     *gauge
	reloadFailures *counter
	frontRestarts  *counter
	upgrades       *counter
	upgradesFailed *counter
	recording      recordingMetrics
	forwards       forwardMetrics

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
		openSeconds:    newHistogram("open_duration_seconds", "Time from the call that opens a session to the start of its program.", openBuckets),
		stdinSeconds:   newHistogram("stdin_duration_seconds", "Time from a call with input to its place in the program's queue.", stdinBuckets),
		sessionSeconds: newHistogram("session_duration_seconds", "Life of ended sessions.", sessionBuckets),
		refusals:       make(map[shell.Reason]*counter),
		reloadOK:       newGauge("config_last_reload_successful", "Whether the last reload succeeded; while 0, the configuration before it stays in force."),
		reloadTime:     newGauge("config_last_reload_success_timestamp_seconds", "When the configuration in force was loaded, in seconds since the epoch."),
		reloadFailures: newCounter("config_reload_failures_total", "Reloads refused because the configuration was broken."),
		frontRestarts:  newCounter("front_restarts_total", "Restarts of the front process."),
		upgrades:       newCounter("upgrades_total", "How often the agent was replaced in place."),
		upgradesFailed: newCounter("upgrade_failures_total", "Upgrades in place that were refused: the agent goes on as it was."),
		recording:      newRecordingMetrics(),
		forwards:       newForwardMetrics(),
		series:         make(map[pair]*series),
		placed:         make(map[string]bool),
		live:           make(map[string]*session),
	}
	if m.now == nil {
		m.now = time.Now
	}
	m.reloadOK.set(1)
	m.reloadTime.set(seconds(m.now()))
	m.all = []collector{
		m.openSeconds, m.stdinSeconds, m.sessionSeconds,
		m.reloadOK, m.reloadTime, m.reloadFailures, m.frontRestarts, m.upgrades, m.upgradesFailed,
		m.recording.live, m.recording.bytes, m.recording.segments, m.recording.failures, m.recording.removed,
		buildInfo(c), sessionCollector{m}, goCollector{}, processCollector{},
	}
	m.all = append(m.all, m.forwards.all...)
	refusals := ours(kindCounter, "refusals_total", "Refused requests by reason.", "reason")
	// Every reason is there from the start: rate() needs the 0 before the first.
	for _, r := range shell.Refusals() {
		if r.Reason.Ordinary() {
			continue
		}
		one := &counter{family: refusals, labels: []string{string(r.Reason)}}
		m.refusals[r.Reason] = one
		m.all = append(m.all, one)
	}
	if c.Trail != nil {
		m.all = append(m.all, trailCollector{c.Trail})
	}
	return m
}

// Observe counts one event. Events of one session may come in any order.
func (m *Metrics) Observe(e shell.Event) {
	switch e.Kind {
	case shell.EventStdin:
		s := m.seriesOf(e.Source, e.Subject)
		s.input.Add(e.Input)
		m.stdinSeconds.observe(e.Duration.Seconds())
	case shell.EventOutput:
		m.seriesOf(e.Source, e.Subject).output.Add(e.Output)
	case shell.EventOpened:
		m.openSeconds.observe(e.Duration.Seconds())
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
			m.frontRestarts.inc()
		}
	case shell.EventUpgraded:
		if e.Err != nil {
			m.upgradesFailed.inc()
		} else {
			m.upgrades.add(e.Count)
		}
	case shell.EventContinued:
		m.goOn(e)
	case shell.EventForwardOpened, shell.EventForwardEnded, shell.EventForwardDenied, shell.EventForwardFailed:
		m.forwards.observe(e)
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
	c.add(max(n, 1))
}

func (m *Metrics) reloaded(e shell.Event) {
	if e.Err != nil {
		m.reloadOK.set(0)
		m.reloadFailures.inc()
		return
	}
	at := e.Time
	if at.IsZero() {
		at = m.now()
	}
	m.reloadOK.set(1)
	m.reloadTime.set(seconds(at))
}

func buildInfo(c Config) *gauge {
	g := &gauge{
		family: ours(kindGauge, "build_info", "The build that runs; always 1.", "commit", "goversion", "version"),
		labels: []string{c.Commit, runtime.Version(), c.Version},
	}
	g.set(1)
	return g
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

// Buckets in seconds. An open includes the start of a program and, where
// configured, of verify commands (3 s at most); input is echoed well below what a hand
// notices (50 ms) or waits for a program that does not read (10 s at most); sessions last
// from one command to days.
var (
	openBuckets    = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	stdinBuckets   = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	sessionBuckets = []float64{.1, 1, 10, 60, 300, 900, 3600, 4 * 3600, 8 * 3600, 24 * 3600, 7 * 24 * 3600}
)
