package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"shellagent/internal/door"
	"shellagent/internal/version"
)

// replacement is what becomes of a program that took the place of the agent's own.
type replacement struct {
	Path string `json:"path"`
	// TookOver says that it runs; Before and Now are how the two call themselves.
	TookOver bool   `json:"tookOver"`
	Before   string `json:"before"`
	Now      string `json:"now,omitempty"`
	// Sessions went on.
	Sessions int `json:"sessions,omitempty"`
	// Error is why it does not run, "" when it was not tried yet.
	Error string `json:"error,omitempty"`
}

// refusal says that the program does not run, and what to do about it.
func (r *replacement) refusal() string {
	if r.Error == "" {
		return fmt.Sprintf("%s was replaced and waits to take over: agent reload", r.Path)
	}
	return fmt.Sprintf("%s was replaced and DID NOT TAKE OVER, the agent goes on as %s: %s", r.Path, r.Before, r.Error)
}

// errTrialFirst is why a program does not take over beside a configuration that
// can be rolled back: it would read the files and know nothing to go back to.
var errTrialFirst = errors.New("the configuration goes on trial first: reload once more when it is confirmed")

// refusedProgram is a file that did not take over.
type refusedProgram struct {
	info fs.FileInfo
	why  string
}

// notNow remembers why a program did not take over, for who asks later.
func (a *agent) notNow(info fs.FileInfo, why error) *replacement {
	a.refused.Store(&refusedProgram{info, why.Error()})
	return &replacement{Path: a.program.path, Before: version.String(), Error: why.Error()}
}

// waiting is a program that took the place of the agent's own and does not run.
func (a *agent) waiting() *replacement {
	info, replaced := a.program.replaced()
	if !replaced {
		return nil
	}
	r := &replacement{Path: a.program.path, Before: version.String()}
	if last := a.refused.Load(); last != nil && unchanged(last.info, info) {
		r.Error = last.why
	}
	return r
}

// takeoverLimit is how long a new program may take until an operator can ask it.
const takeoverLimit = 30 * time.Second

// takenOver waits, on an operator's side, for the program that takes over: the
// agent was as before, and cut the connection without an answer.
func takenOver(ctx context.Context, dir string, before status) (now status, err error) {
	ctx, cancel := context.WithTimeout(ctx, takeoverLimit)
	defer cancel()
	tick := time.NewTicker(trialPoll)
	defer tick.Stop()
	for {
		now = status{}
		err := door.Ask(ctx, dir, door.Request{Status: &door.Status{}}, &now)
		switch {
		case err != nil:
		case now.PID != before.PID:
			return now, fmt.Errorf("the agent ended within the reload and was started again as process %d: its sessions ended, its log says why", now.PID)
		case now.Upgrades > before.Upgrades:
			return now, nil
		default:
			return now, errors.New("the agent cut the connection and goes on as it is: its log says why")
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return now, fmt.Errorf("the agent went away within the reload: its log says why: %w", err)
		}
	}
}
