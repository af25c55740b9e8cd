package metrics

import (
	"time"

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
	m.sessionSeconds.observe(lasted.Seconds())
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

var (
	activeSessions  = ours(kindGauge, "sessions_active", "Live sessions.", "source", "subject")
	rootSessions    = ours(kindGauge, "sessions_root_active", "Live sessions whose program was started as uid 0.", "source", "subject")
	oldestSession   = ours(kindGauge, "session_oldest_age_seconds", "Age of the oldest live session.", "source", "subject")
	openedSessions  = ours(kindCounter, "sessions_total", "Sessions opened.", "source", "subject")
	lastedSessions  = ours(kindCounter, "session_seconds_total", "Life of ended sessions, added up.", "source", "subject")
	sessionAttaches = ours(kindCounter, "session_attaches_total", "Clients that joined a session, the one that opened it too.", "source", "subject")
	sessionDetaches = ours(kindCounter, "session_detaches_total", "Clients that left a session, at its end too.", "source", "subject")
	sessionBytes    = ours(kindCounter, "session_bytes_total", "Input accepted from clients and output handed to them.", "direction", "source", "subject")
)

// lives sums up the live sessions of one series.
type lives struct {
	root   int
	oldest time.Time
}

// collect holds the lock while it counts and not while a reader waits.
func (c sessionCollector) collect(to *scrape) {
	m := c.m
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
	for key, s := range m.series {
		if key == s.pair {
			s.collect(to, bySeries[s], now)
		}
	}
}

func (s *series) collect(to *scrape, l lives, now time.Time) {
	to.one(activeSessions, float64(s.active), s.source, s.subject)
	to.one(rootSessions, float64(l.root), s.source, s.subject)
	if !l.oldest.IsZero() {
		to.one(oldestSession, now.Sub(l.oldest).Seconds(), s.source, s.subject)
	}
	to.one(openedSessions, float64(s.opened.Load()), s.source, s.subject)
	to.one(lastedSessions, float64(s.lasted.Load())/1000, s.source, s.subject)
	to.one(sessionAttaches, float64(s.attaches.Load()), s.source, s.subject)
	to.one(sessionDetaches, float64(s.detaches.Load()), s.source, s.subject)
	to.one(sessionBytes, float64(s.input.Load()), "input", s.source, s.subject)
	to.one(sessionBytes, float64(s.output.Load()), "output", s.source, s.subject)
}
