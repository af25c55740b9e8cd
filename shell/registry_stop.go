package shell

import (
	"context"
	"time"
)

// farewell is how long a client has, when the agent stops, to acknowledge the
// exit of its session, once the last program has ended. One that reads slowly
// or not at all keeps nobody from stopping.
const farewell = 2 * time.Second

// HangUpAll opens nothing from now on, and ends every session: its client gets
// the notice "stopping" and an exit with the reason.
func (r *Registry) HangUpAll(reason string) {
	if reason == "" {
		reason = "agent is stopping"
	}
	r.mu.Lock()
	r.stopping = reason
	r.mu.Unlock()
	for _, s := range r.List(nil) {
		s.stop(reason)
	}
}

// stop hangs up with a notice, once.
func (s *Session) stop(reason string) {
	s.mu.Lock()
	defer s.unlock()
	if !s.ended && !s.isHungUp() {
		s.notify(Notice{Code: "stopping", Text: "this session ends: " + reason})
		s.hangUp(reason)
	}
}

// Wait returns when no program runs any more and every attached client has
// acknowledged its exit, or with the context's error. The streams of clients
// that do not acknowledge end two seconds after the last program.
func (r *Registry) Wait(ctx context.Context) error {
	var late <-chan time.Time
	for {
		r.mu.Lock()
		if r.changed == nil {
			r.changed = make(chan struct{})
		}
		changed := r.changed
		starting := false
		for _, e := range r.byID {
			starting = starting || e.session == nil
		}
		r.mu.Unlock()
		if !starting && len(r.List((*Session).runs)) == 0 {
			if len(r.List((*Session).attached)) == 0 {
				return nil
			}
			if late == nil {
				late = time.After(farewell)
			}
		}
		select {
		case <-changed:
		case <-late:
			for _, s := range r.List((*Session).attached) {
				s.cut()
			}
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// runs says whether the program runs, or its exit is not there yet.
func (s *Session) runs() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.finished
}

// attached says whether a client has yet to leave.
func (s *Session) attached() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stream != nil
}

// cut ends the stream of a client that does not leave.
func (s *Session) cut() {
	s.mu.Lock()
	defer s.unlock()
	if s.stream != nil {
		now := time.Now()
		s.part(nil, now)
		s.pass(now)
	}
}

// remove forgets a session and its keys.
func (r *Registry) remove(s *Session) {
	s.mu.Lock()
	kids := s.kids
	s.mu.Unlock()
	r.mu.Lock()
	if e := r.byID[s.ID()]; e != nil && e.session == s {
		delete(r.byID, s.ID())
	}
	for _, kid := range kids {
		if r.byKid[kid] == s {
			delete(r.byKid, kid)
		}
	}
	r.mu.Unlock()
}

// notify wakes Wait.
func (r *Registry) notify() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.changed != nil {
		close(r.changed)
		r.changed = nil
	}
}
