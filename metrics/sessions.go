package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"shellagent/shell"
)

// session is a live session: where it is counted, so that its end is counted
// there too, whatever was configured in between.
type session struct {
	series *series
	root   bool
	since  time.Time
}

func (m *Metrics) open(e shell.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.place(e.Source, e.Subject)
	s.opened.Add(1)
	if m.early.take(e.Session) || m.live[e.Session] != nil {
		return
	}
	s.active++
	m.live[e.Session] = &session{series: s, root: e.UID == 0, since: m.now()}
}

// goOn counts a session that was opened and counted in an earlier image of the
// agent among the live ones.
func (m *Metrics) goOn(e shell.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.place(e.Source, e.Subject)
	if m.early.take(e.Session) || m.live[e.Session] != nil {
		return
	}
	s.active++
	m.live[e.Session] = &session{series: s, root: e.UID == 0, since: m.now().Add(-max(e.Duration, 0))}
}

func (m *Metrics) end(e shell.Event) {
	lasted := max(e.Duration, 0)
	m.sessionSeconds.Observe(lasted.Seconds())
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.live[e.Session]
	if l == nil {
		m.early.add(e.Session)
		m.place(e.Source, e.Subject).lasted.Add(uint64(lasted.Milliseconds()))
		return
	}
	delete(m.live, e.Session)
	l.series.lasted.Add(uint64(lasted.Milliseconds()))
	l.series.active--
	if m.gone(l.series) {
		delete(m.series, l.series.pair)
		m.releaseSubjects()
	}
}

// earlyEnds remembers the last sessions whose end was told before their
// opening, as happens when a program ends at once. Without it such a session
// would be counted as live for ever.
type earlyEnds struct {
	ids  [256]string
	next int
}

func (e *earlyEnds) add(id string) {
	e.ids[e.next] = id
	e.next = (e.next + 1) % len(e.ids)
}

func (e *earlyEnds) take(id string) bool {
	for i, known := range e.ids {
		if known == id && id != "" {
			e.ids[i] = ""
			return true
		}
	}
	return false
}

// sessionCollector exports what is kept by pairs of labels. It counts live
// sessions when it is asked, so that a gauge never drifts.
type sessionCollector struct{ m *Metrics }

var _ prometheus.Collector = sessionCollector{}

var (
	byPair          = []string{"source", "subject"}
	activeDesc      = desc("sessions_active", "Live sessions.", byPair...)
	rootDesc        = desc("sessions_root_active", "Live sessions whose program was started as uid 0.", byPair...)
	oldestDesc      = desc("session_oldest_age_seconds", "Age of the oldest live session.", byPair...)
	openedDesc      = desc("sessions_total", "Sessions opened.", byPair...)
	lastedDesc      = desc("session_seconds_total", "Life of ended sessions, added up.", byPair...)
	attachesDesc    = desc("session_attaches_total", "Clients that joined a session, the one that opened it too.", byPair...)
	detachesDesc    = desc("session_detaches_total", "Clients that left a session, at its end too.", byPair...)
	bytesDesc       = desc("session_bytes_total", "Input accepted from clients and output handed to them.", append(byPair[:2:2], "direction")...)
	descsOfSessions = []*prometheus.Desc{activeDesc, rootDesc, oldestDesc, openedDesc, lastedDesc, attachesDesc, detachesDesc, bytesDesc}
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil)
}

// Describe implements [prometheus.Collector].
func (c sessionCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range descsOfSessions {
		out <- d
	}
}

// Collect implements [prometheus.Collector].
func (c sessionCollector) Collect(out chan<- prometheus.Metric) {
	for _, metric := range c.m.sessionMetrics() {
		out <- metric
	}
}

// lives sums up the live sessions of one series.
type lives struct {
	root   int
	oldest time.Time
}

// sessionMetrics holds the lock while it counts and not while a reader waits.
func (m *Metrics) sessionMetrics() []prometheus.Metric {
	m.mu.RLock()
	defer m.mu.RUnlock()
	bySeries := make(map[*series]lives, len(m.series))
	for _, s := range m.live {
		l := bySeries[s.series]
		if s.root {
			l.root++
		}
		if l.oldest.IsZero() || s.since.Before(l.oldest) {
			l.oldest = s.since
		}
		bySeries[s.series] = l
	}
	now := m.now()
	metrics := make([]prometheus.Metric, 0, len(m.series)*len(descsOfSessions))
	for key, s := range m.series {
		if key == s.pair {
			metrics = s.collect(metrics, bySeries[s], now)
		}
	}
	return metrics
}

func (s *series) collect(to []prometheus.Metric, l lives, now time.Time) []prometheus.Metric {
	add := func(d *prometheus.Desc, t prometheus.ValueType, v float64, more ...string) {
		labels := append([]string{s.source, s.subject}, more...)
		to = append(to, prometheus.MustNewConstMetric(d, t, v, labels...))
	}
	add(activeDesc, prometheus.GaugeValue, float64(s.active))
	add(rootDesc, prometheus.GaugeValue, float64(l.root))
	if !l.oldest.IsZero() {
		add(oldestDesc, prometheus.GaugeValue, now.Sub(l.oldest).Seconds())
	}
	add(openedDesc, prometheus.CounterValue, float64(s.opened.Load()))
	add(lastedDesc, prometheus.CounterValue, float64(s.lasted.Load())/1000)
	add(attachesDesc, prometheus.CounterValue, float64(s.attaches.Load()))
	add(detachesDesc, prometheus.CounterValue, float64(s.detaches.Load()))
	add(bytesDesc, prometheus.CounterValue, float64(s.input.Load()), "input")
	add(bytesDesc, prometheus.CounterValue, float64(s.output.Load()), "output")
	return to
}
