package agent

import (
	"fmt"
	"path/filepath"
	"time"
)

// trial is a configuration in force that ends by itself unless somebody who
// comes in under it says that it may stay.
type trial struct {
	id    int
	until time.Time
	back  *loaded // in force again if nobody does
	timer *time.Timer
}

// trialState tells of a trial. State is "waiting", "confirmed", "rolled back",
// or "replaced" by another reload.
type trialState struct {
	ID    int       `json:"id"`
	State string    `json:"state"`
	Until time.Time `json:"until,omitzero"`
	By    string    `json:"by,omitempty"`
}

// startTrial begins a trial of what is in force; the lock is held.
func (f *inForce) startTrial(back *loaded, length time.Duration) (id int) {
	f.trials++
	t := &trial{id: f.trials, until: time.Now().Add(length), back: back}
	t.timer = time.AfterFunc(length, func() { f.rollBack(t) })
	f.trial = t
	f.log.Info("the configuration is on trial until somebody confirms it", "within", length)
	return t.id
}

// endTrial ends the trial, if there is one; the lock is held.
func (f *inForce) endTrial(state, by string) {
	if f.trial == nil {
		return
	}
	f.trial.timer.Stop()
	f.ended = trialState{ID: f.trial.id, State: state, By: by}
	f.trial = nil
}

// rollBack puts in force again what was before the trial. The files stay as
// they are: only a person knows what to do about them.
func (f *inForce) rollBack(t *trial) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.trial != t {
		return
	}
	f.endTrial("rolled back", "")
	err := fmt.Errorf("nobody confirmed the reload until %s: what was in force before is again, and the files say something else", t.until.Format(time.TimeOnly))
	ended, putErr := f.put(t.back)
	if putErr != nil {
		// The certificate alone can fail, and it was good before.
		f.log.Error("the certificate from before the trial could not be put back", "err", putErr)
	}
	f.rolledBack = true
	f.set(t.back, err)
	f.log.Error("ROLLED BACK: "+err.Error(), "file", f.config.path, "ended", ended,
		"remedy", "correct the files and reload, or restore them: a reload or a restart reads them as they are")
}

// stop is the agent's end.
func (f *inForce) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.trial != nil {
		f.log.Warn("the agent stops before its configuration was confirmed: the next start reads the files as they are", "file", f.config.path)
	}
	f.endTrial("replaced", "")
}

// standing is what an operator is told of the configuration.
type standing struct {
	Config string    `json:"config"`
	Since  time.Time `json:"since"`
	// Apart is why the files say something else; "" when they do not.
	Apart string `json:"apart,omitempty"`
	// Trial is the one that waits, else the last one.
	Trial   *trialState `json:"trial,omitempty"`
	Sources []string    `json:"sources"`
}

func (f *inForce) standing() standing {
	f.mu.Lock()
	defer f.mu.Unlock()
	path, err := filepath.Abs(f.config.path)
	if err != nil {
		path = f.config.path
	}
	s := standing{Config: path, Since: f.since, Sources: f.config.policy.Sources()}
	if f.apart != nil {
		s.Apart = f.apart.Error()
	}
	switch {
	case f.trial != nil:
		s.Trial = &trialState{ID: f.trial.id, State: "waiting", Until: f.trial.until}
	case f.ended.ID != 0:
		last := f.ended
		s.Trial = &last
	}
	return s
}
