package agent

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"shellagent/audit"
	"shellagent/audit/sink"
	"shellagent/broker"
	"shellagent/config"
	"shellagent/internal/thrift"
	"shellagent/internal/version"
	"shellagent/metrics"
	"shellagent/shell"
	"shellagent/sources"
)

// auditSettings are the trail's: an object, or true or false. Left out, an agent
// that is root keeps one: another agent's own sessions could write it anew.
type auditSettings struct {
	// On is nil when it is left out.
	On *bool `json:"-"`
	// Dir is the trail's folder; "" means audit in the state directory.
	Dir string `json:"dir"`
	// MaxBytes is the size at which a file is ended; 0 means 64 MiB.
	MaxBytes int64 `json:"maxBytes"`
	// Keep is how many ended files are kept; 0 means 16.
	Keep int `json:"keep"`
	// WhenFull says what gives way when Keep files are not enough for the sinks, or
	// the disk is full: "drop" (the default) the oldest lines, "refuse" new sessions.
	WhenFull string        `json:"whenFull"`
	Sinks    []sink.Config `json:"sinks"`
}

const (
	smallestTrailFile = 64 << 10
	mostTrailFiles    = 10_000
	mostSinks         = 16
)

// UnmarshalJSONFrom implements the decoding of an object, true or false.
func (s *auditSettings) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if k := d.PeekKind(); k == 't' || k == 'f' {
		return json.UnmarshalDecode(d, &s.On)
	}
	on := true
	s.On = &on
	type plain auditSettings
	return json.UnmarshalDecode(d, (*plain)(s))
}

// keepsTrail says whether the agent keeps an audit trail.
func (l *loaded) keepsTrail() bool {
	if l.Audit.On != nil {
		return *l.Audit.On
	}
	return os.Geteuid() == 0
}

// rootAudit fills in what is left out of the trail's settings.
func (l *loaded) rootAudit(dir string) {
	switch {
	case l.Audit.Dir == "":
		l.Audit.Dir = filepath.Join(l.StateDir, "audit")
	case !filepath.IsAbs(l.Audit.Dir):
		l.Audit.Dir = filepath.Join(dir, l.Audit.Dir)
	}
	for i, c := range l.Audit.Sinks {
		l.Audit.Sinks[i] = c.Rooted(dir)
	}
}

func (l *loaded) checkAudit(bad func(pointer, format string, args ...any)) error {
	s := &l.Audit
	if s.MaxBytes != 0 && s.MaxBytes < smallestTrailFile {
		bad("/audit/maxBytes", "%d bytes are too few for a file of the trail: use %d or more", s.MaxBytes, smallestTrailFile)
	}
	if s.Keep < 0 || s.Keep > mostTrailFiles {
		bad("/audit/keep", "%d files: use 1 to %d", s.Keep, mostTrailFiles)
	}
	if s.WhenFull != "" && s.WhenFull != "drop" && s.WhenFull != "refuse" {
		bad("/audit/whenFull", "%q: use \"drop\" (the oldest lines go) or \"refuse\" (no session begins)", s.WhenFull)
	}
	if len(s.Sinks) > mostSinks {
		bad("/audit/sinks", "%d sinks are more than %d", len(s.Sinks), mostSinks)
	}
	for name, one := range l.Sources {
		if one.Drain.On && !l.keepsTrail() {
			bad(config.Pointer("sources", name, "drain"), "output goes to the sinks of the audit trail, and none is kept: configure audit")
		}
	}
	var errs []error
	names := make(map[string]bool)
	for i, c := range s.Sinks {
		at := "/audit/sinks/" + strconv.Itoa(i)
		errs = append(errs, c.Check(at))
		if names[c.Name] {
			bad(at+"/name", "two sinks have the name %q: give this one another", c.Name)
		}
		names[c.Name] = true
	}
	return errors.Join(errs...)
}

func (s *auditSettings) keeping() audit.Keeping {
	return audit.Keeping{Files: s.Keep, Refuse: s.WhenFull == "refuse"}
}

// auditing is the trail and what passes it on; nil keeps none.
type auditing struct {
	log   *audit.Log
	sinks *sink.Set
	// configs are those of the sinks, which Suspend ends.
	configs []sink.Config
	drains  *drains
}

// openTrail begins to keep the trail, if one is configured.
func (a *agent) openTrail() {
	l := a.config
	if !l.keepsTrail() {
		return
	}
	cfg := audit.LogConfig{
		Dir: l.Audit.Dir, Sealer: a.seal, Options: audit.Options{Host: hostName(), MaxFile: l.Audit.MaxBytes},
		Version: version.Version, Keep: l.Audit.keeping(), Log: a.log,
	}
	log := audit.NewLog(cfg)
	a.audit = &auditing{log: log, sinks: sink.NewSet(l.Audit.Dir, log.Add, a.log), drains: newDrains(cfg, a.log)}
	log.SetSpool(a.audit.sinks)
	a.audit.apply(&l.Audit)
}

// apply has a new configuration obeyed, in what can change.
func (t *auditing) apply(s *auditSettings) {
	if t == nil {
		return
	}
	t.log.SetKeeping(s.keeping())
	t.drains.to.SetKeeping(audit.Keeping{Files: s.Keep})
	t.configs = s.Sinks
	t.applySinks()
}

func (t *auditing) applySinks() {
	t.sinks.Apply(t.configs)
	t.drains.sinks.Apply(outputSinks(t.configs))
}

// trailGrace is how long the trail's end may take, and that of its sinks.
const trailGrace = 3 * time.Second

// unwritten is what one image of the agent could not write, for the next to do.
type unwritten struct {
	Events []*audit.Event `json:"events,omitempty"`
	Output []*audit.Event `json:"output,omitempty"`
}

// suspend leaves the trail to the next image of the agent.
func (t *auditing) suspend(ctx context.Context) (left unwritten, err error) {
	if t == nil {
		return left, nil
	}
	ctx, cancel := context.WithTimeout(ctx, trailGrace)
	defer cancel()
	if left.Events, err = t.log.Suspend(ctx); err != nil {
		return left, err
	}
	if left.Output, err = t.drains.to.Suspend(ctx); err != nil {
		t.log.Resume()
		return left, err
	}
	t.sinks.Apply(nil) // their positions are written down
	t.drains.sinks.Apply(nil)
	return left, nil
}

func (t *auditing) resume() {
	if t == nil {
		return
	}
	t.log.Resume()
	t.drains.to.Resume()
	t.applySinks()
}

// write writes what an earlier image could not.
func (t *auditing) write(left unwritten) {
	if t != nil {
		t.log.Restore(left.Events)
		t.drains.to.Restore(left.Output)
	}
}

// closeTrail writes the end and lets the sinks take it, within bounds.
func (a *agent) closeTrail() {
	a.observe(shell.Event{Kind: shell.EventStopped})
	if a.audit == nil {
		return
	}
	a.audit.drains.close()
	ctx, cancel := context.WithTimeout(context.Background(), trailGrace)
	defer cancel()
	if err := a.audit.log.Close(ctx); err != nil {
		a.log.Error("the end of the audit trail is lost", "err", err)
	}
	sending, cancel := context.WithTimeout(context.Background(), trailGrace)
	defer cancel()
	a.audit.sinks.Close(sending)
}

// admit says whether a session may begin.
func (a *agent) admit() error {
	if a.audit == nil {
		return nil
	}
	return a.audit.log.Admit()
}

// observers are told what the broker sees.
func (a *agent) observers() broker.Observers {
	if a.audit == nil {
		return broker.Observers{&a.typing, a.metrics}
	}
	return broker.Observers{&a.typing, a.metrics, a.audit.log}
}

// typing tells from facts whether somebody types.
type typing struct{ thrift.Typing }

// Observe implements [broker.Observer].
func (t *typing) Observe(e shell.Event) {
	if e.Kind == shell.EventStdin && e.Input > 0 {
		t.Now()
	}
}

// observe tells a fact that is the agent's own.
func (a *agent) observe(e shell.Event) {
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	a.observers().Observe(e)
}

// tellLostKeys tells of every key that opens nothing under a new policy.
func (a *agent) tellLostKeys(before, now *sources.Policy) {
	for _, k := range now.Lost(before) {
		why := "removed"
		if k.Revoked {
			why = "revoked"
		}
		a.observe(shell.Event{Kind: shell.EventKeyRevoked, Key: k.Thumbprint, Subject: k.Subject, Detail: &shell.Detail{Why: why}})
	}
}

// trailMetrics are the trail's numbers; nil when none is kept.
func (a *agent) trailMetrics() *metrics.Trail {
	if a.audit == nil {
		return nil
	}
	s := a.audit.log.State()
	t := &metrics.Trail{Written: s.Written, Lost: s.Lost, Failures: s.Failures, Waiting: s.Waiting, Writable: s.Err == nil}
	for _, one := range append(a.audit.sinks.States(), a.audit.drains.sinks.States()...) {
		m := metrics.Sink{
			Name: one.Name, Backlog: one.Backlog, Taken: one.Taken, Lost: one.Lost, Failures: one.Failures, Up: one.Err == nil,
		}
		if !one.Oldest.IsZero() {
			m.Age = time.Since(one.Oldest)
		}
		t.Sinks = append(t.Sinks, m)
	}
	return t
}
