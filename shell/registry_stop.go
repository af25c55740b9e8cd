package shell

import "context"

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
// acknowledged its exit, or with the context's error.
func (r *Registry) Wait(ctx context.Context) error {
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
		if !starting && len(r.List((*Session).busy)) == 0 {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// busy says whether the program runs or a client has yet to hear of its end.
func (s *Session) busy() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.finished || s.stream != nil
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
