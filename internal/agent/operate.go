package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"shellagent/broker"
	"shellagent/internal/door"
	"shellagent/internal/version"
	"shellagent/shell"
)

// killGrace is how long an operator waits for sessions to end: their programs
// have a grace of their own.
const killGrace = 20 * time.Second

// operate answers what an operator asks at the door: [door.Handler].
func (a *agent) operate(ctx context.Context, r door.Request, who door.Peer) (any, error) {
	log := a.log.With("uid", who.UID, "pid", who.PID)
	switch {
	case r.Reload != nil:
		log.Info("an operator asks for a reload", "confirm", r.Reload.Confirm())
		return a.reloadFor(ctx, r.Reload)
	case r.Kill != nil:
		log.Info("an operator ends sessions", "subject", r.Kill.Subject, "key", r.Kill.Key, "source", r.Kill.Source,
			"session", r.Kill.Session, "all", r.Kill.All)
		return a.kill(ctx, r.Kill)
	case r.Sessions != nil:
		return sessionList{1, a.broker.Sessions()}, nil
	case r.Rotate != nil:
		log.Info("an operator rotates the host key", "step", r.Rotate.Step)
		return a.rotate(r.Rotate.Step)
	case r.Status != nil:
		return a.status(), nil
	default:
		return nil, errors.New("the agent that runs does not know this request: restart it after an upgrade")
	}
}

// sessionList is what "sessions --json" prints.
type sessionList struct {
	Version  int                    `json:"version"`
	Sessions []shell.SessionSummary `json:"sessions"`
}

func sameFile(asked, own string) error {
	is, err := os.Stat(own)
	if err != nil {
		return err
	}
	if other, err := os.Stat(asked); err != nil || !os.SameFile(is, other) {
		return fmt.Errorf("the agent that runs reads %s, not %s: name its configuration with -c", own, asked)
	}
	return nil
}

// killed is what an end of sessions came to.
type killed struct {
	Version int `json:"version"`
	// Found were alive; Ended have ended since, the others are still ending.
	Found int `json:"found"`
	Ended int `json:"ended"`
}

func (a *agent) kill(ctx context.Context, k *door.Kill) (killed, error) {
	if k.Session != "" {
		if err := a.oneSession(k.Session); err != nil {
			return killed{}, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, killGrace)
	defer cancel()
	found, ended := a.broker.End(ctx, func(s shell.SessionSummary) bool {
		return (k.Subject == "" || s.Subject == k.Subject) && (k.Key == "" || s.Key == k.Key) &&
			(k.Source == "" || s.Source == k.Source) && strings.HasPrefix(s.ID, k.Session)
	}, "ended by the host's operator")
	return killed{1, found, ended}, nil
}

// oneSession refuses the start of an id that more than one session has.
func (a *agent) oneSession(prefix string) error {
	n := 0
	for _, s := range a.broker.Sessions() {
		if !s.Ended && strings.HasPrefix(s.ID, prefix) {
			n++
		}
	}
	if n > 1 {
		return fmt.Errorf("%d sessions start with %s: give more of the id", n, prefix)
	}
	return nil
}

// confirmed is what the broker tells of somebody who confirms a reload.
func (a *agent) confirmed(c broker.Confirmation) error {
	who := c.Key
	if c.Subject != "" {
		who = c.Subject + " (" + c.Key + ")"
	}
	return a.inForce.confirm(c.Policy, fmt.Sprintf("%s through %s from %s", who, c.Source, c.Remote))
}

// status is how the agent is.
type status struct {
	Version int    `json:"version"`
	Agent   string `json:"agent"`
	PID     int    `json:"pid"`
	// Upgrades is how often another program took over in this process.
	Upgrades uint64 `json:"upgrades"`
	// Program is one that waits to take over; nil when none does.
	Program *replacement `json:"program,omitempty"`
	standing
	Keys     rotation `json:"keys"`
	Sessions int      `json:"sessions"`
	// Recordings are being written; Audit is nil when no trail is kept.
	Recordings int          `json:"recordings"`
	Audit      *auditStatus `json:"audit,omitempty"`
}

func (a *agent) status() status {
	s := status{
		Version: 1, Agent: version.String(), PID: os.Getpid(), Upgrades: a.upgrades, Program: a.waiting(),
		standing: a.inForce.standing(), Keys: a.rotation(),
		Recordings: len(a.recordings.all()), Audit: a.auditStatus(),
	}
	for _, one := range a.broker.Sessions() {
		if !one.Ended {
			s.Sessions++
		}
	}
	return s
}

// serveDoor lets the operator in until stop is called.
func (a *agent) serveDoor(ctx context.Context, failed context.CancelCauseFunc) (stop func(), err error) {
	d, err := door.Open(a.config.StateDir, a.log)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(backgroundOf(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := d.Serve(ctx, a.operate); err != nil {
			failed(err)
		}
	}()
	return func() {
		cancel()
		<-done
		if err := d.Close(); err != nil {
			a.log.Warn("the operator's door could not be removed", "err", err)
		}
	}, nil
}
