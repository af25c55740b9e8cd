package shell

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	// DefaultMaxLive is how many sessions an agent keeps, over all sources.
	DefaultMaxLive = 4096
	// DefaultMaxSessions is how many live sessions a source has when its
	// limits do not say.
	DefaultMaxSessions = 128
)

// Opening is what makes two opens the same, and what bounds them.
type Opening struct {
	// ID is the session's: the thumbprint of the session key.
	ID string
	// Key is the thumbprint of the identity key; Hash identifies what is
	// asked. An open of a known ID must repeat both.
	Key  string
	Hash string
	// Source is counted against MaxSessions; 0 means [DefaultMaxSessions].
	Source      string
	MaxSessions int
}

// Registry holds an agent's sessions by id, those that have ended until their
// exit was acknowledged or forgotten. All methods may be called concurrently.
type Registry struct {
	limit int

	mu       sync.Mutex
	byID     map[string]*entry
	byKid    map[string]*Session
	stopping string        // why nothing is opened any more
	frozen   []*Session    // between Freeze and Thaw
	changed  chan struct{} // closed at the next change; nil when nobody waits
}

// entry is a session, or one that is being started.
type entry struct {
	opening Opening
	ready   chan struct{} // closed when session or err is set
	session *Session
	err     error
}

// NewRegistry returns an empty registry for at most limit sessions; 0 means
// [DefaultMaxLive].
func NewRegistry(limit int) *Registry {
	if limit <= 0 {
		limit = DefaultMaxLive
	}
	return &Registry{limit: limit, byID: map[string]*entry{}, byKid: map[string]*Session{}}
}

// Open returns the session of an id, started by start unless it exists or is
// just being started: then Open waits for that, and existed is true. So start
// runs once for an id that is asked for many times, and its error is everybody's.
//
// It refuses with [ReasonSessionConflict] when the id belongs to another open,
// with [ReasonMaxSessions] when the source has no room, with
// [ReasonUnavailable] when the agent has none, and with [ReasonStopping].
func (r *Registry) Open(ctx context.Context, o Opening, start func() (*Session, error)) (s *Session, existed bool, err error) {
	e, existed, err := r.reserve(o)
	if err != nil {
		return nil, existed, err
	}
	if existed {
		select {
		case <-e.ready:
			return e.session, true, e.err
		case <-ctx.Done():
			return nil, true, ctx.Err()
		}
	}
	err = fmt.Errorf("session %s: its start panicked", o.ID)
	defer func() { r.settle(e, s, err) }()
	if s, err = start(); err == nil && s == nil {
		err = fmt.Errorf("session %s: its start returned none", o.ID)
	}
	return s, false, err
}

// reserve returns the entry of an id, a new one if there was none.
func (r *Registry) reserve(o Opening) (e *entry, existed bool, err error) {
	for {
		r.mu.Lock()
		e, existed = r.byID[o.ID]
		switch {
		case existed && (e.opening.Key != o.Key || e.opening.Hash != o.Hash),
			!existed && r.byKid[o.ID] != nil:
			err = Deny(ReasonSessionConflict, nil)
		case existed:
		case r.stopping != "":
			err = Deny(ReasonStopping, nil)
		case r.liveLocked(o.Source) >= o.limit():
			err = Deny(ReasonMaxSessions, fmt.Errorf("source %s has %d live sessions", o.Source, o.limit()))
		case len(r.byID) >= r.limit:
			old := r.oldestEnded()
			r.mu.Unlock()
			if old == nil {
				return nil, false, Deny(ReasonUnavailable, fmt.Errorf("the agent has %d sessions", r.limit))
			}
			old.expire()
			continue
		default:
			e = &entry{opening: o, ready: make(chan struct{})}
			r.byID[o.ID] = e
		}
		r.mu.Unlock()
		return e, existed, err
	}
}

func (o Opening) limit() int {
	if o.MaxSessions <= 0 {
		return DefaultMaxSessions
	}
	return o.MaxSessions
}

// settle ends the start of an entry, with a session or an error.
func (r *Registry) settle(e *entry, s *Session, err error) {
	r.mu.Lock()
	stopping := r.stopping
	e.session, e.err = s, err
	if err != nil || !s.adopt(r) {
		delete(r.byID, e.opening.ID)
	} else {
		r.byKid[s.SessionKey()] = s
	}
	close(e.ready)
	r.mu.Unlock()
	r.notify()
	if err == nil && stopping != "" {
		s.stop(stopping)
	}
}

// adopt makes the session tell the registry what becomes of it, unless there is
// nothing left to tell.
func (s *Session) adopt(r *Registry) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.owner = r
	return !s.dropped
}

// expire forgets an ended session before its time, to make room.
func (s *Session) expire() {
	s.mu.Lock()
	defer s.unlock()
	if s.finished && s.stream == nil {
		s.drop()
	}
}

// oldestEnded returns the session that has waited longest for somebody to
// hear its exit.
func (r *Registry) oldestEnded() (oldest *Session) {
	var since time.Time
	for _, e := range r.byID {
		s := e.session
		if s == nil || s.live.Load() {
			continue
		}
		s.mu.Lock()
		if s.finished && s.stream == nil && !s.dropped && (oldest == nil || s.lastProgress.Before(since)) {
			oldest, since = s, s.lastProgress
		}
		s.mu.Unlock()
	}
	return oldest
}

// liveLocked counts what has not ended, starts included; "" is every source.
func (r *Registry) liveLocked(source string) (n int) {
	for _, e := range r.byID {
		if (source == "" || e.opening.Source == source) && (e.session == nil || e.session.live.Load()) {
			n++
		}
	}
	return n
}

// Len counts the live sessions of a source, of all sources for "".
func (r *Registry) Len(source string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.liveLocked(source)
}

// ByID returns the session of an id, or nil.
func (r *Registry) ByID(id string) *Session {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.byID[id]; e != nil {
		return e.session
	}
	return nil
}

// ByKid returns the session that the session key with this thumbprint writes
// or wrote into, or nil.
func (r *Registry) ByKid(kid string) *Session {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.byKid[kid]
}

// List returns the sessions that want says, all for nil, oldest first.
func (r *Registry) List(want func(*Session) bool) []*Session {
	r.mu.Lock()
	all := make([]*Session, 0, len(r.byID))
	for _, e := range r.byID {
		if e.session != nil {
			all = append(all, e.session)
		}
	}
	r.mu.Unlock()
	if want != nil {
		all = slices.DeleteFunc(all, func(s *Session) bool { return !want(s) })
	}
	slices.SortFunc(all, func(a, b *Session) int { return a.started.Compare(b.started) })
	return all
}

// claim lets a key write into a session, unless it belongs to another one.
func (r *Registry) claim(kid string, s *Session) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.byID[kid]; e != nil && e.session != s {
		return false
	}
	if other := r.byKid[kid]; other != nil && other != s {
		return false
	}
	r.byKid[kid] = s
	return true
}

// unclaim forgets a key of a session.
func (r *Registry) unclaim(kid string, s *Session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byKid[kid] == s {
		delete(r.byKid, kid)
	}
}
