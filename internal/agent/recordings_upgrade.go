package agent

import (
	"context"
	"errors"
	"fmt"

	"shellagent/internal/handover"
	"shellagent/record"
	"shellagent/shell"
)

// freeze brings the recordings of frozen sessions to a standstill, and returns
// where they are to be gone on with, by session id. Recordings of sessions that
// have ended are waited for. The error leaves all going on.
func (r *recordings) freeze(ctx context.Context) (map[string]*record.State, error) {
	if err := r.rest(ctx); err != nil {
		return nil, err
	}
	states := make(map[string]*record.State)
	for _, c := range r.all() {
		st, thaw, err := c.run.Freeze(ctx)
		r.mu.Lock()
		r.thaw = append(r.thaw, thaw)
		r.mu.Unlock()
		if err != nil {
			r.goOn()
			return nil, fmt.Errorf("session %s: %w", c.id, err)
		}
		if st != nil {
			states[c.id] = st
		}
	}
	return states, nil
}

// goOn undoes freeze.
func (r *recordings) goOn() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, thaw := range r.thaw {
		thaw()
	}
	r.thaw = nil
	select {
	case <-r.disk:
	default:
	}
}

// resume goes on with the recording of a session that was taken over. A
// recording that cannot be gone on with has failed, as on any other day.
func (r *recordings) resume(s *shell.Session, grant shell.Grant, st *record.State) {
	tap := s.Tap()
	if tap == nil {
		return
	}
	c := &recording{of: r, id: s.ID(), grant: grant, remote: s.Remote(), session: s, path: st.Path}
	o, err := c.options()
	if err == nil {
		c.writer, err = record.Resume(*st, r.sealer, o)
	}
	if err != nil {
		tap.Close()
		c.tell(err, false)
		c.giveUp(err)
		return
	}
	c.Follow(s)
}

// checkRecording holds a session's recording against the session.
func (s *sessionRecord) checkRecording() error {
	id := s.Session.Opening.ID
	switch {
	case (s.Session.Tap == nil) != (s.Recording == nil):
		return fmt.Errorf("%w: session %s has a half of a recording", handover.ErrDamaged, id)
	case s.Recording == nil:
		return nil
	case s.Session.Opened.Record == nil:
		return fmt.Errorf("%w: session %s is recorded without a reason", handover.ErrDamaged, id)
	}
	if err := s.Recording.Check(); err != nil {
		return errors.Join(fmt.Errorf("%w: session %s", handover.ErrDamaged, id), err)
	}
	return nil
}
