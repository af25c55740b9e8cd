package sink

import (
	"context"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"shellagent/audit"
)

// Set is the sinks of one trail. It is safe for concurrent use.
type Set struct {
	dir  string
	tell func(...*audit.Event)
	log  *slog.Logger
	// first is what is waited before a second try.
	first time.Duration

	applying sync.Mutex // held over Apply

	mu   sync.Mutex
	runs map[string]*delivery
}

var _ audit.Spool = (*Set)(nil)

// NewSet returns a set without sinks for the trail of a folder. tell gets what the
// trail is to be told of them.
func NewSet(dir string, tell func(...*audit.Event), log *slog.Logger) *Set {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Set{dir: dir, tell: tell, log: log, first: retryFirst, runs: make(map[string]*delivery)}
}

// Apply has exactly these sinks run. One that is configured as before goes on;
// one by a name that there was goes on where that was. One that cannot deliver is
// tried again; see [State].
func (s *Set) Apply(configs []Config) {
	s.applying.Lock()
	defer s.applying.Unlock()
	for _, d := range s.all() {
		if !slices.ContainsFunc(configs, func(c Config) bool { return reflect.DeepEqual(c, d.cfg) }) {
			d.stop()
			s.set(d.cfg.Name, nil)
		}
	}
	running := s.Behind()
	for _, c := range configs {
		if _, runs := running[c.Name]; !runs {
			s.set(c.Name, s.start(c))
		}
	}
}

func (s *Set) set(name string, d *delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d == nil {
		delete(s.runs, name)
	} else {
		s.runs[name] = d
	}
}

// Wake implements [audit.Spool].
func (s *Set) Wake() {
	for _, d := range s.all() {
		d.nudge()
	}
}

// Behind implements [audit.Spool].
func (s *Set) Behind() map[string]uint64 {
	behind := make(map[string]uint64)
	for _, d := range s.all() {
		d.mu.Lock()
		behind[d.cfg.Name] = d.next
		d.mu.Unlock()
	}
	return behind
}

// States are how the sinks are, by name.
func (s *Set) States() []State {
	all := s.all()
	states := make([]State, 0, len(all))
	for _, d := range all {
		states = append(states, d.state())
	}
	slices.SortFunc(states, func(a, b State) int { return strings.Compare(a.Name, b.Name) })
	return states
}

func (s *Set) all() []*delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*delivery, 0, len(s.runs))
	for _, d := range s.runs {
		all = append(all, d)
	}
	return all
}

// Close gives the sinks that do not fail until ctx is done to take what waits,
// and ends them all.
func (s *Set) Close(ctx context.Context) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for waiting := true; waiting && ctx.Err() == nil; {
		waiting = slices.ContainsFunc(s.States(), func(st State) bool { return st.Backlog > 0 && st.Err == nil })
		if !waiting {
			break
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	s.Apply(nil)
}
