package process

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// cleanUpGrace is how long processes of a killed agent may take to end by
// themselves: they lost their terminal or pipes already.
const cleanUpGrace = time.Second

// CleanUp ends what an agent that was killed left running, as noted in its
// stateDir, and returns how many sessions that were. Call it before the agent
// starts sessions. What a session without KillOnExit had started goes on, as it
// would have after a hang-up; its program does not.
//
// It takes about a second, or none when there is nothing to end. An error says
// that another living agent uses stateDir, that a note could not be read, that a
// process could not be ended, or that this agent runs inside such a session; the
// rest was done.
func CleanUp(stateDir string) (ended int, err error) {
	if stateDir == "" {
		return 0, nil
	}
	boot, err := bootID()
	if err != nil {
		return 0, err
	}
	all, err := notesIn(stateDir).read()
	errs := []error{err}
	endings := make(map[*note]*ending)
	for _, n := range all {
		t, err := n.left(boot)
		if err != nil {
			errs = append(errs, err)
		}
		if t != nil {
			endings[n] = newEnding(t, func() {})
			endings[n].begin(cleanUpGrace)
		}
	}
	for n, e := range endings {
		if <-e.done; e.failed {
			errs = append(errs, fmt.Errorf("the processes of an earlier session could not be ended: %s", n.file))
			continue
		}
		ended++
		n.settle()
	}
	return ended, errors.Join(errs...)
}

// left returns what the noted session left that must end, or nil. A note that
// has no more use is removed.
func (n *note) left(boot string) (target, error) {
	owner := n.text.Agent.id()
	switch {
	case n.text.Boot != boot:
		n.remove()
		return nil, nil
	case alive(owner) && owner.pid == os.Getpid():
		return nil, nil // the agent re-executed itself and has its sessions still
	case alive(owner):
		return nil, fmt.Errorf("%s: another agent (pid %d) uses this directory: give each its own stateDir", n.file, owner.pid)
	}
	t := n.text.rest()
	switch {
	case holdsSelf(t):
		return nil, fmt.Errorf("%s: a session of an earlier agent goes on, since this agent was started from within it: start the agent from elsewhere", n.file)
	case t.empty():
		n.settle()
		return nil, nil
	default:
		return t, nil
	}
}

// holdsSelf says that ending t would end the agent that does it.
func holdsSelf(t target) bool {
	self := os.Getpid()
	switch t := t.(type) {
	case *cgroup:
		return slices.Contains(t.members(), self)
	case marked:
		return slices.ContainsFunc(t.members(), func(s stat) bool { return s.id.pid == self })
	default:
		return false
	}
}

func alive(id processID) bool {
	s, err := readStat(id.pid)
	return err == nil && s.id == id && !s.dead()
}

// settle removes the note, and the group when there is one. Where processes
// were left to go on, both stay until they are gone.
func (n *note) settle() {
	if dir := n.text.Tree.Cgroup; dir != "" && removeCgroup(dir) != nil {
		return
	}
	n.remove()
}

// rest is what of a dead agent's session must end.
func (n noted) rest() target {
	switch {
	case n.Over:
		return nobody{}
	case n.Keep:
		return single{n.Leader.id()}
	case n.Tree.Cgroup != "":
		return &cgroup{dir: n.Tree.Cgroup}
	default:
		return marked{mark: n.Tree.Mark, leader: n.Leader.id()}
	}
}

// nobody is a target that needs no ending.
type nobody struct{}

func (nobody) signal(unix.Signal) {}
func (nobody) kill()              {}
func (nobody) empty() bool        { return true }

// single is one process.
type single struct{ id processID }

func (s single) signal(sig unix.Signal) { signalProcess(s.id, sig) }
func (s single) kill()                  { signalProcess(s.id, unix.SIGKILL) }
func (s single) empty() bool            { return !alive(s.id) }

// marked finds the processes of a dead subreaper's session, which are anybody's
// children now: those that bear its mark, its leader, what descends from them,
// and what shares a session number with one of them.
type marked struct {
	mark   string
	leader processID
}

func (m marked) members() []stat {
	table, err := readProcessTable()
	if err != nil {
		return nil
	}
	children := table.children()
	taken := make(map[int]bool)
	var queue []int
	take := func(pid int) {
		if !taken[pid] {
			taken[pid] = true
			queue = append(queue, pid)
		}
	}
	sharesSession := false
	for pid, s := range table {
		if mark, _ := environ(pid, markVariable); s.id == m.leader || mark == m.mark {
			take(pid)
			sharesSession = sharesSession || s.session == m.leader.pid
		}
	}
	for pid, s := range table {
		if sharesSession && s.session == m.leader.pid {
			take(pid)
		}
	}
	var found []stat
	for len(queue) > 0 {
		s := table[queue[0]]
		queue = queue[1:]
		for _, child := range children[s.id.pid] {
			take(child)
		}
		if !s.dead() {
			found = append(found, s)
		}
	}
	return found
}

func (m marked) signal(sig unix.Signal) {
	for _, s := range m.members() {
		signalProcess(s.id, sig)
	}
}

func (m marked) kill()       { killAll(m.members()) }
func (m marked) empty() bool { return len(m.members()) == 0 }
