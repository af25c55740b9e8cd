package process

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// subreaper keeps sessions' processes together where no cgroup can be made:
// without root and without a delegated cgroup, and in most containers.
//
// As a child subreaper (prctl(2)) the agent becomes the parent of every process
// of a session whose own parent ended, whatever it did with its group, session
// or terminal. So all of them are the agent's descendants, and below each of
// the agent's own children all belong to one session. Whose a child is, is told
// by what it was started as, by the mark in its environment, by its session
// number, and last by who is left: an orphan that wiped all of these counts as
// the last session's, of its user, that may have started it.
//
// Children of the agent that are in the agent's own session are none of these.
type subreaper struct {
	pid     int
	session int

	mu     sync.Mutex
	trees  map[string]*descent // by mark
	exempt map[processID]bool  // orphans that were left to go on
	reaper *reaper
}

func newSubreaper() (*subreaper, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("become the subreaper of sessions: %w", err)
	}
	self, err := readStat(os.Getpid())
	if err != nil {
		return nil, fmt.Errorf("read /proc, which is needed to end sessions where no cgroup can be made: %w", err)
	}
	s := &subreaper{
		pid: self.id.pid, session: self.session,
		trees: make(map[string]*descent), exempt: make(map[processID]bool),
	}
	s.reaper = newReaper(s)
	return s, nil
}

// close leaves orphans to the next subreaper, as a rule init.
func (s *subreaper) close() {
	s.reaper.stop()
	_ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
}

// newTree returns an empty tree for a program of the given user.
func (s *subreaper) newTree(uid uint32) (*descent, error) {
	d := &descent{sub: s, mark: rand.Text(), uid: uid, known: make(map[processID]bool)}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trees[d.mark] = d
	return d, nil
}

// owner returns whose a child of the agent is, or nil. s.mu is held.
func (s *subreaper) owner(c stat) *descent {
	if c.session == s.session || s.exempt[c.id] {
		return nil
	}
	for _, d := range s.trees {
		if d.leader == c.id {
			return d
		}
	}
	for _, d := range s.trees {
		if d.known[c.id] {
			return d
		}
	}
	if mark, marked := environ(c.id.pid, markVariable); marked {
		return s.trees[mark] // nil when that session was left to go on
	}
	for _, d := range s.trees {
		if d.leader.pid == c.session {
			return d
		}
	}
	if s.starting() && isOver(c) {
		return nil
	}
	if suspects := s.suspects(c); len(suspects) == 1 {
		return suspects[0]
	}
	return nil
}

// starting says that a session's leader is not known yet. It may have ended all
// the same, and tells nothing of itself then; it is its starter's to bury. s.mu is held.
func (s *subreaper) starting() bool {
	for _, d := range s.trees {
		if d.leader.pid == 0 {
			return true
		}
	}
	return false
}

// isOver says that a process is dead, or so far in its exit that it has no
// program and no environment any more.
func isOver(c stat) bool {
	if c.dead() {
		return true
	}
	_, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", c.id.pid))
	return errors.Is(err, os.ErrNotExist)
}

// suspects returns the sessions that may have started an orphan which tells
// nothing of itself. s.mu is held.
func (s *subreaper) suspects(c stat) []*descent {
	if s.isAgent(c.id.pid) {
		return nil // a part of the agent that left its session
	}
	uid, ok := realUID(c.id.pid)
	if !ok {
		return nil
	}
	var found []*descent
	for _, d := range s.trees {
		if d.uid == uid && d.leader.pid != 0 && d.leader.start <= c.start {
			found = append(found, d)
		}
	}
	return found
}

func (s *subreaper) isAgent(pid int) bool {
	own, err1 := os.Stat("/proc/self/exe")
	its, err2 := os.Stat(fmt.Sprintf("/proc/%d/exe", pid))
	return err1 == nil && err2 == nil && os.SameFile(own, its)
}

// descent is a session's tree as what descends from some of the agent's children.
type descent struct {
	sub    *subreaper
	mark   string
	uid    uint32
	leader processID          // set once it has started
	known  map[processID]bool // every member ever seen; guarded by sub.mu
	// gone says that the leader had ended and no member was left: none ever comes
	// again, so that nobody has to go through all processes to find that out twice.
	gone bool // guarded by sub.mu
}

var _ tree = (*descent)(nil)

func (d *descent) describe() treeNote { return treeNote{Mark: d.mark} }

func (d *descent) place(_ *syscall.SysProcAttr, env []string) ([]string, func(), error) {
	return append(env, markVariable+"="+d.mark), func() {}, nil
}

func (d *descent) started(leader processID) {
	d.sub.mu.Lock()
	d.leader = leader
	d.sub.mu.Unlock()
	d.sub.reaper.run()
}

// members returns the tree's processes, and buries those of them that are dead
// and the agent's to bury.
func (d *descent) members() []stat {
	d.sub.mu.Lock()
	defer d.sub.mu.Unlock()
	if d.gone {
		return nil
	}
	table, err := readProcessTable()
	if err != nil {
		return nil
	}
	children := table.children()
	var queue []int
	for _, pid := range children[d.sub.pid] {
		if d.sub.owner(table[pid]) == d {
			queue = append(queue, pid)
		}
	}
	var alive []stat
	for len(queue) > 0 {
		s := table[queue[0]]
		queue = append(queue[1:], children[s.id.pid]...)
		d.known[s.id] = true
		switch {
		case !s.dead():
			alive = append(alive, s)
		case s.parent == d.sub.pid && s.id != d.leader:
			bury(s.id.pid)
		}
	}
	d.gone = len(alive) == 0 && d.leader.pid != 0 && !holds(table, d.leader)
	return alive
}

// holds says that a process is in the table, dead or alive.
func holds(t processTable, id processID) bool { return t[id.pid].id == id }

// bury reaps a dead child, and nothing but it.
func bury(pid int) { _, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil) }

func (d *descent) signal(sig unix.Signal) {
	for _, s := range d.members() {
		signalProcess(s.id, sig)
	}
}

func (d *descent) kill() { killAll(d.members()) }

func (d *descent) empty() bool { return len(d.members()) == 0 }

func (d *descent) discard() {
	d.sub.mu.Lock()
	delete(d.sub.trees, d.mark)
	d.sub.mu.Unlock()
	d.sub.reaper.poke()
}

func (d *descent) leave() (alive bool) {
	rest := d.members()
	d.sub.mu.Lock()
	for _, s := range rest {
		d.sub.exempt[s.id] = true
	}
	d.sub.mu.Unlock()
	d.discard()
	return len(rest) > 0
}
