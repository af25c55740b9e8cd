package process

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Restore takes over what the sessions of an earlier image of the agent shared.
// It is called before [Host.Adopt].
func (h *Host) Restore(s HostState) error {
	if h.groups != nil {
		h.groups.mu.Lock()
		defer h.groups.mu.Unlock()
		for _, dir := range s.Left {
			if !isSessionCgroup(dir) {
				return fmt.Errorf("%s is not the cgroup of a session", dir)
			}
			h.groups.left = append(h.groups.left, dir)
		}
	}
	if len(s.Exempt) == 0 {
		return nil
	}
	if err := h.needSubreaper(); err != nil {
		return err
	}
	h.subreaper.mu.Lock()
	defer h.subreaper.mu.Unlock()
	for _, n := range s.Exempt {
		h.subreaper.exempt[n.id()] = true
	}
	return nil
}

// State describes what the sessions share.
func (h *Host) State() (s HostState) {
	if h.groups != nil {
		h.groups.mu.Lock()
		s.Left = append(s.Left, h.groups.left...)
		h.groups.mu.Unlock()
	}
	if h.subreaper != nil {
		h.subreaper.mu.Lock()
		for id := range h.subreaper.exempt {
			s.Exempt = append(s.Exempt, noteOf(id))
		}
		h.subreaper.mu.Unlock()
	}
	return s
}

// needSubreaper makes one beside the cgroups, for sessions of an image of the
// agent that could not make any.
func (h *Host) needSubreaper() (err error) {
	if h.subreaper == nil {
		h.subreaper, err = newSubreaper()
	}
	return err
}

// Adopt takes over the program that s describes, from an image of the agent that
// this one replaced since ago. The process is suspended until [Process.Unsuspend];
// all are adopted before the first is set going, so that none is taken for an
// orphan of another's.
func (h *Host) Adopt(s State, since time.Duration) (*Process, error) {
	if err := s.Check(); err != nil {
		return nil, fmt.Errorf("adopt program %d: %w", s.PID, err)
	}
	p := &Process{
		host: h, keep: s.Keep, grace: s.Grace, pid: s.PID,
		reaped: s.Reaped, exit: s.Exit, released: s.Released,
	}
	var err error
	if p.streams, err = s.streams(); err != nil {
		return nil, fmt.Errorf("adopt program %d: %w", s.PID, err)
	}
	if p.tree, err = h.adoptTree(s.Tree); err != nil {
		return nil, fmt.Errorf("adopt program %d: %w", s.PID, err)
	}
	if s.PIDFD >= 0 {
		if p.pidfd, err = adoptFile(s.PIDFD, "pidfd"); err != nil {
			return nil, fmt.Errorf("adopt program %d: %w", s.PID, err)
		}
	}
	if s.Channel > 0 {
		if p.channel, err = adoptFile(s.Channel, "channel"); err != nil {
			return nil, fmt.Errorf("adopt program %d: %w", s.PID, err)
		}
	}
	if s.Note != nil {
		p.note = &note{file: s.Note.File, text: s.Note.Text}
	}
	p.ending = newEnding(p.tree, p.streams.cutOff)
	if p.keep {
		p.ending = newEnding(hangUpOnly{p}, p.streams.cutOff)
	}
	p.ending.adopt(s.Ending, since)
	p.streams.suspend(true)
	p.mu.Lock()
	return p, nil
}

func (s *State) streams() (streams, error) {
	if s.Terminal != nil {
		return s.Terminal.terminal(s.Released)
	}
	return s.Pipes.pipes(s.Released)
}

func (s *TerminalState) terminal(released bool) (*terminal, error) {
	t := &terminal{name: s.Name}
	t.in = terminalInput{terminal: t, prompt: t.in.attempt, last: s.Last, given: s.Given, ending: s.Ending, rest: s.Rest, closed: s.Closed}
	if released {
		return t, nil
	}
	var err error
	if t.master, err = adoptFile(s.Master, s.Name); err != nil {
		return nil, err
	}
	if err := t.out.adopt(t.master, s.Output); err != nil {
		return nil, err
	}
	t.conn = t.out.conn
	return t, nil
}

func (s *PipesState) pipes(released bool) (p *pipes, err error) {
	p = &pipes{}
	if released {
		return p, nil
	}
	if s.In >= 0 {
		if p.in.File, err = adoptFile(s.In, "stdin"); err != nil {
			return nil, err
		}
	}
	for o, st := range map[*output]OutputState{&p.out: s.Out, &p.err: s.Err} {
		f, err := adoptFile(st.FD, "output")
		if err != nil {
			return nil, err
		}
		if err := o.adopt(f, st); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (o *output) adopt(f *os.File, s OutputState) error {
	if err := o.open(f); err != nil {
		return err
	}
	o.rest = s.Rest
	if s.Cut {
		o.cutOff()
	}
	return nil
}

// adoptFile makes a file of a descriptor that this image was left with.
func adoptFile(fd int, name string) (*os.File, error) {
	unix.CloseOnExec(fd)
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, fmt.Errorf("descriptor %d for %s: %w", fd, name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

func (e *ending) adopt(s EndingState, since time.Duration) {
	e.begun, e.told, e.again = s.Begun, s.Told, s.Again
	e.killAt = time.Now().Add(s.KillIn - since)
	e.adopted = s.Begun
}

// resume goes on with an ending that an earlier image of the agent began.
func (e *ending) resume() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.adopted {
		e.adopted = false
		go e.run()
	}
}

func (s *TreeState) check() error {
	switch {
	case (s.Cgroup == "") == (s.Mark == ""):
		return errors.New("it has no tree of processes")
	case s.Cgroup != "" && !isSessionCgroup(s.Cgroup):
		return fmt.Errorf("%s is not the cgroup of a session", s.Cgroup)
	}
	return nil
}

func (h *Host) adoptTree(s TreeState) (tree, error) {
	if s.Cgroup != "" {
		return &cgroup{root: h.groups, dir: s.Cgroup}, nil
	}
	if err := h.needSubreaper(); err != nil {
		return nil, err
	}
	return h.subreaper.adopt(s), nil
}

func (g *cgroup) state() TreeState { return TreeState{treeNote: g.describe()} }
func (g *cgroup) resume()          {}

// state leaves out members that are gone.
func (d *descent) state() TreeState {
	d.sub.mu.Lock()
	defer d.sub.mu.Unlock()
	s := TreeState{treeNote: d.describe(), UID: d.uid, Leader: noteOf(d.leader)}
	for id := range d.known {
		if now, err := readStat(id.pid); err == nil && now.id == id {
			s.Known = append(s.Known, noteOf(id))
		}
	}
	return s
}

func (d *descent) resume() { d.sub.reaper.run() }

func (s *subreaper) adopt(st TreeState) *descent {
	d := &descent{sub: s, mark: st.Mark, uid: st.UID, leader: st.Leader.id(), known: make(map[processID]bool)}
	for _, n := range st.Known {
		d.known[n.id()] = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trees[d.mark] = d
	return d
}
