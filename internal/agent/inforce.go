package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"shellagent/sources"
)

// unprovenFor is how long a change that nobody asked a trial for can still be
// put on one: somebody edits a file, which is read as it changes, and then asks
// for the trial.
const unprovenFor = 10 * time.Minute

// inForce is the configuration that the agent obeys. Whoever changes it, a
// signal, a file, an operator or the end of a trial, waits for the others.
type inForce struct {
	log *slog.Logger
	// put makes the agent obey a configuration and tells how many sessions that
	// ended. On an error the agent obeys what it obeyed before.
	put func(*loaded) (ended int, err error)
	// observe is told of every reload; nil that it succeeded.
	observe func(error)

	mu     sync.Mutex
	config *loaded
	since  time.Time
	// apart is why the files say something else than config; nil when they do not.
	apart error
	// watched are the files of the last configuration that could be read.
	watched []string
	// unproven was obeyed before the changes that came by themselves since the
	// moment beside it; nil when there were none.
	unproven   *loaded
	unprovenAt time.Time
	trial      *trial
	trials     int
	ended      trialState      // the last trial's, when there is none
	proved     *sources.Policy // that the last trial confirmed
	rolledBack bool            // and nobody asked for another reload since

	// news has an element when what is to be watched may have changed.
	news chan struct{}
}

func newInForce(log *slog.Logger, l *loaded, put func(*loaded) (int, error), observe func(error)) *inForce {
	return &inForce{
		log: log, put: put, observe: observe, config: l, since: time.Now(), watched: l.watch,
		news: make(chan struct{}, 1),
	}
}

// watch returns the files whose change asks for a reload, none when the
// configuration wants it to be asked for.
func (f *inForce) watch() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.config.ReloadOnChange != nil && !*f.config.ReloadOnChange {
		return nil
	}
	return f.watched
}

// Why the configuration is read again.
const (
	aSignal     = "SIGHUP"
	aFileChange = "a file changed"
	anOperator  = "an operator asked"
)

// reload reads the configuration again and puts it in force, or keeps the old
// one and says why. A trial goes on, with what is obeyed now. What was rolled
// back does not come back because some other file changed: somebody has to ask.
func (f *inForce) reload(why string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.rolledBack && why == aFileChange {
		f.log.Warn("a file changed, and is not read: the last reload was rolled back, and the next has to be asked for (agent reload)")
		return
	}
	next, err := f.read()
	if err != nil {
		return
	}
	before := f.config
	changed := len(changes(context.Background(), before, next, time.Now())) > 0
	if _, err := f.obey(next, why); err != nil || !changed || f.trial != nil {
		return
	}
	if f.unproven == nil || time.Since(f.unprovenAt) > unprovenFor {
		f.unproven, f.unprovenAt = before, time.Now()
	}
}

// reloaded is what a reload that an operator asked for came to.
type reloaded struct {
	Changes  []string `json:"changes"`
	Warnings []string `json:"warnings,omitempty"`
	// Restart are the settings that take effect when the agent is restarted.
	Restart []string `json:"restart,omitempty"`
	// Ended is how many sessions are not allowed any more.
	Ended int `json:"ended"`
	// Trial is 0 when there is nothing to confirm.
	Trial int `json:"trial,omitempty"`
	// Since is when the configuration in force was read, when nothing changed.
	Since time.Time `json:"since,omitzero"`
	// Program is one that took the place of the agent's own; nil when none did.
	Program *replacement `json:"program,omitempty"`
}

// ask is a reload that an operator asked for. It ends a trial; with confirm
// above 0 it begins one of that length, which also covers what changed by itself
// shortly before.
func (f *inForce) ask(confirm time.Duration) (reloaded, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	next, err := f.read()
	if err != nil {
		return reloaded{}, err
	}
	since, back := f.since, f.config
	if confirm > 0 {
		back = f.proven()
	}
	out := reloaded{
		Changes: changes(context.Background(), back, next, time.Now()), Warnings: next.policy.Warnings(),
		Restart: back.needRestart(next),
	}
	if out.Ended, err = f.obey(next, anOperator); err != nil {
		return reloaded{}, err
	}
	f.endTrial("replaced", "")
	f.unproven = nil
	switch {
	case len(out.Changes) == 0:
		out.Since = since
	case confirm > 0:
		out.Trial = f.startTrial(back, confirm)
	}
	return out, nil
}

// proven is what was in force before everything that nobody vouched for yet.
func (f *inForce) proven() *loaded {
	switch {
	case f.trial != nil:
		return f.trial.back
	case f.unproven != nil && time.Since(f.unprovenAt) <= unprovenFor:
		return f.unproven
	default:
		return f.config
	}
}

// read reads the files. That they are broken is logged and counted.
func (f *inForce) read() (*loaded, error) {
	next, err := load(f.config.path)
	if err != nil {
		f.failed(err)
		return nil, err
	}
	return next, nil
}

func (f *inForce) failed(err error) {
	f.apart = err
	f.observe(err)
	f.log.Error("the configuration is broken: what was in force stays in force", "err", err)
}

// obey puts a configuration in force.
func (f *inForce) obey(next *loaded, why string) (ended int, err error) {
	if ended, err = f.put(next); err != nil {
		f.failed(err)
		return 0, err
	}
	if names := f.config.needRestart(next); len(names) > 0 {
		f.log.Warn("this change takes effect when the agent is restarted", "settings", names)
	}
	for _, w := range next.policy.Warnings() {
		f.log.Warn(w)
	}
	f.watched, f.rolledBack = next.watch, false
	f.set(next, nil)
	f.log.Info("the configuration was read again", "why", why, "sources", len(next.policy.Sources()), "ended", ended)
	return ended, nil
}

// set remembers what is obeyed, and why the files say something else.
func (f *inForce) set(l *loaded, apart error) {
	f.config, f.since, f.apart = l, time.Now(), apart
	f.observe(apart)
	select {
	case f.news <- struct{}{}:
	default:
	}
}

// errNoTrial is what a confirmation meets that nothing waits for.
var errNoTrial = errors.New("no reload waits for a confirmation")

// confirm keeps what is in force: somebody got in under this policy.
func (f *inForce) confirm(under *sources.Policy, who string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if under != f.config.policy {
		return fmt.Errorf("%w: it was confirmed under another policy", errNoTrial)
	}
	if f.trial == nil && f.proved == under {
		return nil // the answer to the first was lost
	}
	if f.trial == nil {
		return errNoTrial
	}
	f.log.Info("the reload is confirmed", "by", who)
	f.endTrial("confirmed", who)
	f.proved = under
	return nil
}

// onTrial is an error while a reload waits for its confirmation: another program
// reads the files as they are, and knows nothing to go back to.
func (f *inForce) onTrial() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.trialRuns()
}

func (f *inForce) trialRuns() error {
	if f.trial == nil {
		return nil
	}
	return fmt.Errorf("the configuration is on trial until %s: confirm it, and reload then", f.trial.until.Format(time.TimeOnly))
}

// hold keeps everybody from changing the configuration until release is called.
func (f *inForce) hold() (release func(), err error) {
	f.mu.Lock()
	if err := f.trialRuns(); err != nil {
		f.mu.Unlock()
		return nil, err
	}
	return f.mu.Unlock, nil
}
