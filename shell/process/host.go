package process

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"time"

	"shellagent/account"
)

// HostConfig configures a [Host]. The zero value is ready: nothing is noted on
// disk, and the log is slog's default.
type HostConfig struct {
	// StateDir is where running sessions are noted, so that [CleanUp] can end
	// them after the agent was killed. Empty: nowhere.
	StateDir string
	// NoCgroup finds the processes of sessions in /proc even where cgroups can
	// be made.
	NoCgroup bool
	Log      *slog.Logger
}

// Host starts programs. It is safe for concurrent use.
type Host struct {
	log      *slog.Logger
	notes    notes
	ttyGroup uint32
	hasTTY   bool // ttyGroup is known

	// One of them keeps the sessions' processes together.
	groups    *cgroupRoot
	subreaper *subreaper
	unlimited error // why sessions' processes are not limited
}

// NewHost finds out how this host can keep a session's processes together.
// An error means that StateDir cannot be used.
func NewHost(c HostConfig) (*Host, error) {
	h := &Host{log: c.Log}
	if h.log == nil {
		h.log = slog.Default()
	}
	var err error
	if h.notes, err = openNotes(c.StateDir); err != nil {
		return nil, err
	}
	if err := h.keepTogether(c.NoCgroup); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	switch g, err := account.LookupGroup(ctx, "tty"); {
	case err == nil:
		h.ttyGroup, h.hasTTY = g.GID, true
	case !errors.Is(err, account.ErrUnknown):
		h.log.Warn("group tty cannot be looked up: terminals belong to their user alone", "err", err)
	}
	return h, nil
}

func (h *Host) keepTogether(noCgroup bool) (err error) {
	// As init of a container the agent adopts orphans whether it wants or not.
	if !noCgroup && os.Getpid() != 1 {
		if h.groups, err = findCgroupRoot(); err == nil {
			h.unlimited = h.groups.limitProcesses()
			return nil
		}
		h.log.Info("no cgroup can be made: sessions are kept together by /proc", "reason", err)
	}
	h.unlimited = errors.New("sessions have no cgroups")
	h.subreaper, err = newSubreaper()
	return err
}

// Keeping says how the processes of a session are kept together: "cgroup DIR"
// or "subreaper".
func (h *Host) Keeping() string {
	if h.groups != nil {
		return "cgroup " + h.groups.dir
	}
	return "subreaper"
}

// Close stops what the host runs in the background. Sessions should be closed
// before; those that are not go on, but their orphans are no longer reaped.
func (h *Host) Close() {
	if h.groups != nil {
		h.groups.sweep()
	}
	if h.subreaper != nil {
		h.subreaper.close()
	}
}

// Unlimited says why sessions may have as many processes as their users may;
// nil means that each is held to its grant's MaxProcesses.
func (h *Host) Unlimited() error { return h.unlimited }

// newTree makes the tree for a program of the given user, with a number of
// processes at most where the host can see to it.
func (h *Host) newTree(uid uint32, processes int) (tree, error) {
	if h.groups != nil {
		return h.groups.make(processes)
	}
	return h.subreaper.newTree(uid)
}
