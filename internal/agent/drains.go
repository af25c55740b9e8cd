package agent

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"shellagent/audit"
	"shellagent/audit/drain"
	"shellagent/audit/sink"
	"shellagent/shell"
	"shellagent/sources"
)

// drains send the output of live sessions on: by way of a trail of its own, which
// the sinks read as they read the trail of events.
type drains struct {
	to    *audit.Log
	sinks *sink.Set
	log   *slog.Logger

	mu   sync.Mutex
	live map[string]*drain.Drain // by session id
	thaw []func()
}

// outputDir is the folder of the trail of output, in the trail's.
const outputDir = "output"

// drainLimit is how long the agent's end waits for output to be written down.
const drainLimit = 3 * time.Second

// outputSinks are the sinks that take output, by names of their own.
func outputSinks(all []sink.Config) (some []sink.Config) {
	for _, c := range all {
		if c.Output == nil || *c.Output {
			c.Name += ".output"
			some = append(some, c)
		}
	}
	return some
}

func newDrains(cfg audit.LogConfig, log *slog.Logger) *drains {
	cfg.Dir = filepath.Join(cfg.Dir, outputDir)
	cfg.Keep.Refuse = false
	d := &drains{to: audit.NewLog(cfg), log: log, live: make(map[string]*drain.Drain)}
	d.sinks = sink.NewSet(cfg.Dir, d.to.Add, log)
	d.to.SetSpool(d.sinks)
	return d
}

// begin is the broker's Drain.
func (d *drains) begin(s *shell.Session, g shell.Grant) { d.follow(s, g, 0) }

func (d *drains) follow(s *shell.Session, g shell.Grant, from uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	one, err := drain.Follow(s, g, from, d.to, d.ended)
	if err != nil {
		d.log.Error("the output of a session is not sent on", "session", s.ID(), "err", err)
		return
	}
	d.live[s.ID()] = one
}

func (d *drains) ended(one *drain.Drain) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.live[one.Session()] == one {
		delete(d.live, one.Session())
	}
}

func (d *drains) all() (list []*drain.Drain) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, one := range d.live {
		list = append(list, one)
	}
	return list
}

// freeze brings the drains of frozen sessions to a standstill, and returns from
// where to go on, by session id. The error leaves all going on.
func (d *drains) freeze(ctx context.Context) (map[string]uint64, error) {
	offsets := make(map[string]uint64)
	for _, one := range d.all() {
		offset, ended, thaw, err := one.Freeze(ctx)
		d.mu.Lock()
		d.thaw = append(d.thaw, thaw)
		d.mu.Unlock()
		if err != nil {
			d.goOn()
			return nil, err
		}
		if !ended {
			offsets[one.Session()] = offset
		}
	}
	return offsets, nil
}

// goOn undoes freeze.
func (d *drains) goOn() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, thaw := range d.thaw {
		thaw()
	}
	d.thaw = nil
}

// close waits for what ended sessions showed, and ends.
func (d *drains) close() {
	ctx, cancel := context.WithTimeout(context.Background(), drainLimit)
	defer cancel()
	for _, one := range d.all() {
		select {
		case <-one.Done():
		case <-ctx.Done():
			d.log.Warn("the output of a session was not written down to its end", "session", one.Session())
			one.Close()
		}
	}
	if err := d.to.Close(ctx); err != nil {
		d.log.Error("output of sessions is lost for the sinks", "err", err)
	}
	d.sinks.Close(ctx)
}

// drainer is the broker's Drain.
func (a *agent) drainer() func(*shell.Session, shell.Grant) {
	if a.audit == nil {
		return nil
	}
	return a.audit.drains.begin
}

// drained is what the sessions' drains do while everything is frozen.
func (t *auditing) drained(ctx context.Context) (map[string]uint64, error) {
	if t == nil {
		return nil, nil
	}
	return t.drains.freeze(ctx)
}

func (t *auditing) drain() {
	if t != nil {
		t.drains.goOn()
	}
}

// resumeDrain goes on with the output of a session that was taken over.
func (t *auditing) resumeDrain(s *shell.Session, g shell.Grant, from *uint64) {
	if t != nil && from != nil && g.Drain != nil {
		t.drains.follow(s, g, *from)
	}
}

// drainText says what becomes of output.
func drainText(s *sources.DrainSummary) string {
	parts := []string{"with gaps where they are too slow"}
	if s.Required {
		parts[0] = "the program waits for them"
	}
	if n := len(s.Redact); n > 0 {
		parts = append(parts, fmt.Sprintf("%d patterns are left out", n))
	}
	return strings.Join(parts, ", ")
}
