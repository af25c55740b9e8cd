package metrics

import (
	"sync/atomic"
	"unicode/utf8"
)

const (
	// MaxSubjects is how many subjects have a label of their own at a time.
	MaxSubjects = 200
	// Other is the label of what has none: a subject beyond [MaxSubjects], and
	// a source or subject that is not configured.
	Other = "other"
)

// pair is the two labels that sessions are counted by.
type pair struct{ source, subject string }

// series counts for one pair of labels. The atomics are added to on hot paths;
// active is guarded by the mutex of the [Metrics].
type series struct {
	pair
	opened   atomic.Uint64
	attaches atomic.Uint64
	detaches atomic.Uint64
	input    atomic.Uint64
	output   atomic.Uint64
	lasted   atomic.Uint64 // milliseconds of ended sessions
	active   int
}

// Configure tells which sources and subjects the policy in force names. Call it
// before the first session and at every reload. Series of names that are gone
// are dropped, at once or when their last session ends.
func (m *Metrics) Configure(sources, subjects []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sources, m.subjects = set(sources), set(subjects)
	for key, s := range m.series {
		// An alias is made anew by the next event, perhaps with its own label.
		if key != s.pair || m.gone(s) {
			delete(m.series, key)
		}
	}
	m.releaseSubjects()
}

// seriesOf returns the series that counts for a source and subject as an event
// names them. It allocates only for a pair that was not met before.
func (m *Metrics) seriesOf(source, subject string) *series {
	m.mu.RLock()
	s := m.series[pair{source, subject}]
	m.mu.RUnlock()
	if s != nil {
		return s
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.place(source, subject)
}

// place finds or makes the series of a source and subject. m.mu is held.
func (m *Metrics) place(source, subject string) *series {
	asked := pair{source, subject}
	if s := m.series[asked]; s != nil {
		return s
	}
	label := pair{m.sourceLabel(source), m.subjectLabel(subject)}
	s := m.series[label]
	if s == nil {
		s = &series{pair: label}
		m.series[label] = s
	}
	// Remembering what was asked keeps the hot path short for subjects beyond
	// the bound. Names that nobody configured are not remembered.
	if asked != label && m.sources[source] && m.subjects[subject] {
		m.series[asked] = s
	}
	return s
}

func (m *Metrics) sourceLabel(source string) string {
	if m.sources[source] {
		return source
	}
	return Other
}

func (m *Metrics) subjectLabel(subject string) string {
	switch {
	case subject == "" || m.placed[subject]:
		return subject
	case m.subjects[subject] && len(m.placed) < MaxSubjects:
		m.placed[subject] = true
		return subject
	default:
		return Other
	}
}

// gone says that a series names what is not configured and has no session.
func (m *Metrics) gone(s *series) bool {
	sourceKnown := s.source == Other || m.sources[s.source]
	subjectKnown := s.subject == Other || s.subject == "" || m.subjects[s.subject]
	return s.active == 0 && !(sourceKnown && subjectKnown)
}

// releaseSubjects gives the places of subjects that are neither configured nor
// in use to others. m.mu is held.
func (m *Metrics) releaseSubjects() {
	used := make(map[string]bool, len(m.placed))
	for _, s := range m.series {
		used[s.subject] = true
	}
	for subject := range m.placed {
		if !m.subjects[subject] && !used[subject] {
			delete(m.placed, subject)
		}
	}
}

// set leaves out what cannot be a label: the names come from JSON, so there is
// nothing to leave out unless a caller is wrong.
func set(names []string) map[string]bool {
	s := make(map[string]bool, len(names))
	for _, name := range names {
		if utf8.ValidString(name) {
			s[name] = true
		}
	}
	return s
}
