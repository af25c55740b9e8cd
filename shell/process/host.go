package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"time"

	"shellagent/account"
	"shellagent/shell"
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
	groups   *cgroupRoot // nil: no cgroups can be made here
	orphans  *orphanage
	ttyGroup uint32
	hasTTY   bool // ttyGroup is known
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
	h.orphans = newOrphanage()
	if !c.NoCgroup {
		if h.groups, err = findCgroupRoot(); err != nil {
			h.log.Info("sessions are kept together by /proc: no cgroup can be made", "reason", err)
		}
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
func (h *Host) Close() { h.orphans.close() }

// Options are what a start needs beside the grant.
type Options struct {
	// Client and Server become SSH_CONNECTION. Without a Client there is none;
	// an unknown Server is written as sshd writes one.
	Client, Server netip.AddrPort
	// Grace is how long what a program leaves behind may take to end between
	// HUP and KILL, once the program itself has ended and the grant says
	// KillOnExit. Zero means one second.
	Grace time.Duration
}

const defaultGrace = time.Second

// Start starts the granted program: on a pty when term is not nil, else on
// three pipes. ctx bounds the start, not the program.
//
// The program gets a session (setsid) and a process tree of its own, the
// grant's user, group and supplementary groups, the grant's environment and
// nothing of the agent's, umask 022, no blocked or ignored signals, no inherited
// descriptors, no inherited protection from the OOM killer, and the agent's
// other limits as the agent was started with them. Only root may start a
// program as somebody else.
//
// A grant without Dir, or with its user's home as Dir, starts in the home
// directory; when that cannot be entered, in /, and says so as sshd does.
//
// An error that is [ErrNotFound] or [ErrNotExecutable] is the command's own
// fault; see [ExitCode]. Any other is the host's.
func (h *Host) Start(ctx context.Context, g shell.Grant, term *shell.Terminal, o Options) (*Process, error) {
	who, err := identityOf(g.Credential)
	if err != nil {
		return nil, err
	}
	dir, notice, err := who.workingDirectory(ctx, g)
	if err != nil {
		return nil, err
	}
	path, err := who.find(ctx, g.Path, pathOf(g.Env), dir)
	if err != nil {
		return nil, err
	}
	if o.Grace <= 0 {
		o.Grace = defaultGrace
	}
	p := &Process{host: h, keep: !g.Limits.KillOnExit, grace: o.Grace}
	if p.streams, err = h.openStreams(term, g.Credential); err != nil {
		return nil, err
	}
	defer p.streams.closeChildEnds()
	if notice != "" {
		p.streams.say(notice)
	}
	child := child{
		name: g.Path, path: path, argv: g.Argv, dir: dir, who: who,
		env: environment(g.Env, o, p.streams.ttyName()),
	}
	if err := p.start(child); err != nil {
		p.streams.close()
		return nil, err
	}
	return p, nil
}

// start makes the child in a tree of its own. A cgroup that cannot be entered
// (an old kernel, a container's filter) is no reason to refuse the session.
func (p *Process) start(c child) error {
	if len(c.argv) == 0 {
		c.argv = []string{c.name}
	}
	if p.host.groups != nil {
		group, err := p.host.groups.make()
		if err == nil {
			if err = p.startIn(group, c); err == nil || !cgroupTrouble(err) {
				return err
			}
		}
		p.host.log.Warn("session without a cgroup", "err", err)
	}
	walk, err := p.host.orphans.newTree(c.who.uid)
	if err != nil {
		return err
	}
	return p.startIn(walk, c)
}

func (p *Process) startIn(t tree, c child) error {
	p.tree = t
	note, err := p.host.notes.add(t.describe(), p.keep)
	if err != nil {
		t.discard()
		return fmt.Errorf("note the session for the agent's next start: %w", err)
	}
	p.note = note
	if p.proc, err = c.spawn(p.streams.childEnds(), t, p.host.log); err != nil {
		t.discard()
		note.remove()
		return err
	}
	p.pid = p.proc.Pid
	p.pidfd = pidfdOf(p.proc)
	// The child is not reaped yet, so its number is its own.
	leader := processID{pid: p.pid}
	if s, err := readStat(p.pid); err == nil {
		leader.start = s.start
	}
	t.started(leader)
	if err := note.setLeader(leader); err != nil {
		p.host.log.Warn("session is not fully noted for the agent's next start", "err", err)
	}
	return nil
}

// pidfdOf returns a pollable descriptor that becomes readable when the process
// ends, or nil where the kernel has none (before Linux 5.4).
func pidfdOf(p *os.Process) *os.File {
	var f *os.File
	_ = p.WithHandle(func(handle uintptr) { f = dupNonblocking(int(handle), "pidfd") })
	return f
}
