package shell

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// AwaitClients calls [Session.AwaitClient] of every session.
func (r *Registry) AwaitClients() {
	for _, s := range r.List(nil) {
		s.AwaitClient()
	}
}

// Freeze freezes every session; see [Session.Freeze]. The caller sees to it that
// nothing is opened, or asked of a session, before [Registry.Thaw]. The error,
// after which nothing is frozen, is that some session did not come to rest
// before ctx was done.
func (r *Registry) Freeze(ctx context.Context) error {
	all := r.List(nil)
	for i, s := range all {
		if err := s.Freeze(ctx); err != nil {
			thaw(all[:i])
			return err
		}
	}
	if !r.keep(all) {
		thaw(all)
		return errors.New("a session is being opened")
	}
	return nil
}

// keep notes the frozen sessions, unless there are others.
func (r *Registry) keep(all []*Session) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.byID {
		if !slices.Contains(all, e.session) {
			return false
		}
	}
	r.frozen = all
	return true
}

// Thaw lets every session go on.
func (r *Registry) Thaw() {
	r.mu.Lock()
	all := r.frozen
	r.frozen = nil
	r.mu.Unlock()
	thaw(all)
}

func thaw(all []*Session) {
	for _, s := range all {
		s.Thaw()
	}
}

// States calls each with every frozen session, its state and its program, which
// is nil when it is finished. What the state points to may change with
// [Registry.Thaw]. It ends with the first error.
func (r *Registry) States(each func(SessionState, Program) error) error {
	r.mu.Lock()
	all := r.frozen
	openings := make(map[string]Opening, len(all))
	for id, e := range r.byID {
		openings[id] = e.opening
	}
	r.mu.Unlock()
	for _, s := range all {
		if s.dropped {
			continue
		}
		p := s.program
		if s.finished {
			p = nil
		}
		if err := each(s.state(openings[s.cfg.ID]), p); err != nil {
			return err
		}
	}
	return nil
}

// Adopt makes a restored session known under the opening of its state. The
// error is that one of its keys is another session's.
func (r *Registry) Adopt(o Opening, s *Session) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	kids := s.keys()
	if err := r.vacant(o.ID, kids); err != nil {
		return err
	}
	if !s.adopt(r) {
		return nil // it is over meanwhile
	}
	e := &entry{opening: o, ready: make(chan struct{}), session: s}
	close(e.ready)
	r.byID[o.ID] = e
	for _, kid := range kids {
		r.byKid[kid] = s
	}
	return nil
}

// Vacant says whether a state's session can be made known: the error is
// [Registry.Adopt]'s, before its program is touched.
func (r *Registry) Vacant(st *SessionState) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.vacant(st.Opening.ID, st.Keys)
}

// vacant is Vacant with mu held.
func (r *Registry) vacant(id string, kids []string) error {
	for _, kid := range append(kids[:len(kids):len(kids)], id) {
		if r.byID[kid] != nil || r.byKid[kid] != nil {
			return fmt.Errorf("session %s: the key %s is another session's", id, kid)
		}
	}
	return nil
}

func (s *Session) keys() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.kids...)
}
