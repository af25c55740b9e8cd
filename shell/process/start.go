package process

import (
	"context"
	"net/netip"
	"os"
	"time"

	"shellagent/shell"
)

// Options are what a start needs beside the grant.
type Options struct {
	// Client and Server become SSH_CONNECTION. Without a Client there is none;
	// an unknown Server is written as sshd writes one.
	Client, Server netip.AddrPort
	// Grace is how long what a program leaves behind may take to end between
	// HUP and KILL, once the program itself has ended and the grant says
	// KillOnExit. Zero means one second.
	Grace time.Duration
	// Channel gives the program a descriptor 3 on which it speaks with the agent,
	// message by message; see [Process.Channel]. It is for programs on pipes.
	Channel bool
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
	dir, notice, path, err := who.find(ctx, g)
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
	ends := p.streams.childEnds()
	if o.Channel {
		theirs, err := p.openChannel()
		if err != nil {
			p.streams.close()
			return nil, err
		}
		defer theirs.Close()
		ends.files = append(ends.files, theirs)
	}
	child := child{
		ends: ends, name: g.Path, path: path, argv: g.Argv, dir: dir, who: who, processes: g.Limits.MaxProcesses,
		env: environment(g.Env, o, p.streams.ttyName()),
	}
	if err := p.start(child); err != nil {
		p.streams.close()
		p.channel.Close()
		return nil, err
	}
	return p, nil
}

// start makes the child in a tree of its own.
func (p *Process) start(c child) error {
	t, err := p.host.newTree(c.who.uid, c.processes)
	if err != nil {
		return err
	}
	p.tree, p.ending = t, newEnding(t, p.streams.cutOff)
	if p.keep {
		p.ending = newEnding(hangUpOnly{p}, p.streams.cutOff)
	}
	// A full disk must not keep out the person who comes to empty it.
	if p.note, err = p.host.notes.add(t.describe(), p.keep); err != nil {
		p.host.log.Warn("session is not noted for the agent's next start", "err", err)
	}
	proc, err := c.spawn(t, p.host.log)
	if err != nil {
		t.discard()
		p.note.remove()
		return err
	}
	p.pid = proc.Pid
	p.pidfd = pidfdOf(proc)
	_ = proc.Release() // it is reaped by its number, by whichever image of the agent sees its end
	// The child is not reaped yet, so its number is its own.
	leader := processID{pid: p.pid}
	if s, err := readStat(p.pid); err == nil {
		leader.start = s.start
	}
	t.started(leader)
	if err := p.note.setLeader(leader); err != nil {
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
