package agent

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strconv"
	"time"

	"shellagent/internal/handover"
	"shellagent/internal/version"
	"shellagent/jwtauth"
	"shellagent/shell"
	"shellagent/shell/process"
)

// takeover is what an earlier image of the agent left to this one.
type takeover struct {
	stateHead
	file *os.File
}

// takeOver returns what an earlier image of the agent left, or nil when there was
// none. Nothing of it can be given back: an error is the agent's end.
func takeOver() (*takeover, error) {
	text, given := os.LookupEnv(stateVariable)
	if !given {
		return nil, nil
	}
	os.Unsetenv(stateVariable)
	fd, err := strconv.Atoi(text)
	if err != nil || fd < 3 {
		return nil, fmt.Errorf("%s is %q: it is for the agent itself to set", stateVariable, text)
	}
	t := &takeover{file: os.NewFile(uintptr(fd), "state")}
	r, err := handover.Open(t.file)
	if err != nil {
		return nil, err
	}
	t.stateHead, err = readHead(r)
	return t, err
}

// since is how long ago everything was frozen.
func (t *takeover) since() time.Duration { return monotonic() - time.Duration(t.Frozen) }

// listeners are the sockets that the agent listens on.
func (t *takeover) listeners() (all []*net.TCPListener, err error) {
	for _, fd := range t.Listeners {
		l, err := listenerOf(fd)
		if err != nil {
			closeAll(all)
			return nil, err
		}
		all = append(all, l)
	}
	return all, nil
}

func listenerOf(fd int) (*net.TCPListener, error) {
	f := os.NewFile(uintptr(fd), "listener")
	l, err := net.FileListener(f)
	f.Close()
	if err != nil {
		return nil, fmt.Errorf("listening socket %d: %w", fd, err)
	}
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		l.Close()
		return nil, fmt.Errorf("descriptor %d is not a listening socket", fd)
	}
	return tcp, nil
}

// adjust keeps of a configuration what only a restart may change.
func (t *takeover) adjust(l *loaded, log *slog.Logger) {
	var restart []string
	if l.StateDir != t.StateDir {
		l.StateDir = t.StateDir
		restart = append(restart, "stateDir")
	}
	if !slices.Equal(l.Listen.Address, t.Addresses) {
		restart = append(restart, "listen.address")
	}
	if l.Metrics.Address != t.Metrics {
		l.Metrics.Address = t.Metrics
		restart = append(restart, "metrics")
	}
	if len(restart) > 0 {
		log.Warn("this change takes effect when the agent is restarted", "settings", restart)
	}
}

// goOn gets what an agent needs from the image before it.
func (a *agent) goOn(t *takeover) (err error) {
	t.adjust(a.config, a.log)
	a.upgrades, a.opened = t.Upgrades+1, t.Addresses
	a.lock = os.NewFile(uintptr(t.Lock), "lock")
	if a.listeners, err = t.listeners(); err != nil {
		return err
	}
	if t.Scrapes != 0 {
		if a.scrapes, err = listenerOf(t.Scrapes); err != nil {
			return err
		}
	}
	a.guard, err = jwtauth.RestoreGuard(jwtauth.GuardConfig{StateDir: a.config.StateDir}, t.Guard, t.since())
	return err
}

// resume sets the sessions going again and asks policy about them, since the
// configuration may have changed with the program.
func (a *agent) resume(t *takeover) error {
	defer t.file.Close()
	a.audit.write(t.Audit)
	a.broker.RestorePenalties(t.Penalties, t.since())
	if err := a.takeSessions(t); err != nil {
		return err
	}
	ended := a.broker.SetPolicy(context.Background(), a.config.policy)
	a.observe(shell.Event{Kind: shell.EventUpgraded, Count: a.upgrades})
	a.log.Info("took over from the agent before", "version", version.String(), "before", t.Agent,
		"sessions", t.Sessions, "ended", ended, "after", (monotonic() - time.Duration(t.Began)).Round(time.Millisecond))
	return nil
}

// takeSessions sets the sessions going: first all programs are taken over,
// then all sessions, since one's program may be taken for a child of another's.
func (a *agent) takeSessions(t *takeover) error {
	if err := a.system.Restore(t.Host); err != nil {
		return err
	}
	programs := make([]*process.Process, t.Sessions)
	err := t.each(false, func(i int, s sessionRecord) (err error) {
		if s.Program != nil {
			programs[i], err = a.system.Adopt(*s.Program, t.since())
		}
		return err
	})
	if err != nil {
		return err
	}
	return t.each(true, func(i int, s sessionRecord) error {
		var p shell.Program
		if programs[i] != nil {
			p = programs[i]
		}
		session, err := a.broker.Restore(s.SessionState, p, t.since())
		if err == nil && s.Recording != nil {
			a.recordings.resume(session, s.Session.Opened, s.Recording)
		}
		if err == nil && programs[i] != nil && programs[i].Channel() != nil {
			a.forwards.resume(session, programs[i], s.AgentSockets)
		}
		if err == nil {
			a.audit.resumeDrain(session, s.Session.Opened, s.Drained)
		}
		return err
	})
}

// each calls do with every session of the state, with its bytes or without.
func (t *takeover) each(bytes bool, do func(i int, s sessionRecord) error) error {
	r, err := handover.Open(t.file)
	if err != nil {
		return err
	}
	if _, err := readHead(r); err != nil {
		return err
	}
	for i := range t.Sessions {
		s, err := readSession(r, bytes)
		if err != nil {
			return err
		}
		if err := do(i, s); err != nil {
			return err
		}
	}
	return r.End()
}
