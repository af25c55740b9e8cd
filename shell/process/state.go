package process

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"shellagent/shell"
)

// State is a suspended [Process], as one image of the agent hands it to the
// next, which has the same children and, by number, the same descriptors.
type State struct {
	PID int `json:"pid"`
	// PIDFD is −1 before Linux 5.4, and once the program was reaped.
	PIDFD  int           `json:"pidfd"`
	Reaped bool          `json:"reaped"`
	Exit   shell.Exit    `json:"exit"` // when Reaped
	Keep   bool          `json:"keep"`
	Grace  time.Duration `json:"grace"`

	// One of them is set.
	Terminal *TerminalState `json:"terminal,omitempty"`
	Pipes    *PipesState    `json:"pipes,omitempty"`
	// Channel is the descriptor of [Process.Channel], 0 without.
	Channel int `json:"channel,omitempty"`
	// Released says that their descriptors are closed.
	Released bool `json:"released"`

	Tree   TreeState   `json:"tree"`
	Note   *NoteState  `json:"note,omitempty"`
	Ending EndingState `json:"ending"`
}

// TerminalState is a pty.
type TerminalState struct {
	Name   string      `json:"name"`
	Master int         `json:"master"`
	Last   byte        `json:"last"`
	Given  bool        `json:"given"`
	Ending bool        `json:"ending"`
	Rest   []byte      `json:"rest"`
	Closed bool        `json:"closed"`
	Output OutputState `json:"output"`
}

// PipesState are three pipes; a descriptor is −1 when it is closed.
type PipesState struct {
	In  int         `json:"in"`
	Out OutputState `json:"out"`
	Err OutputState `json:"err"`
}

// OutputState is what a program's output is read from; a terminal's has no
// descriptor of its own.
type OutputState struct {
	FD   int  `json:"fd"`
	Cut  bool `json:"cut"`
	Rest int  `json:"rest"`
}

// TreeState says which processes are a session's.
type TreeState struct {
	treeNote
	// For a tree without a cgroup.
	UID    uint32     `json:"uid"`
	Leader procNote   `json:"leader"`
	Known  []procNote `json:"known"`
}

// NoteState is the note on disk.
type NoteState struct {
	File string `json:"file"`
	Text noted  `json:"text"`
}

// EndingState is a hang-up that is under way.
type EndingState struct {
	Begun  bool          `json:"begun"`
	Told   bool          `json:"told"`
	Again  bool          `json:"again"`
	KillIn time.Duration `json:"killIn"`
}

// HostState is what the sessions of a [Host] share.
type HostState struct {
	// Left are cgroups, and Exempt processes, that were left to go on.
	Left   []string   `json:"left"`
	Exempt []procNote `json:"exempt"`
}

// Suspend implements [shell.Suspender]. Until Unsuspend the program's end is not
// noticed either, nothing is sent to it, and its descriptors stay open.
func (p *Process) Suspend() {
	p.streams.suspend(true)
	p.mu.Lock()
}

// Unsuspend implements [shell.Suspender]; it sets an adopted process going.
func (p *Process) Unsuspend() {
	p.streams.suspend(false)
	p.mu.Unlock()
	p.ending.resume()
	p.tree.resume()
}

// State describes the suspended process.
func (p *Process) State() State {
	s := State{
		PID: p.pid, PIDFD: descriptor(p.pidfd), Reaped: p.reaped, Exit: p.exit,
		Keep: p.keep, Grace: p.grace, Released: p.released, Tree: p.tree.state(), Ending: p.ending.state(),
	}
	switch t := p.streams.(type) {
	case *terminal:
		in := &t.in
		s.Terminal = &TerminalState{
			Name: t.name, Master: descriptor(t.master), Last: in.last, Given: in.given,
			Ending: in.ending, Rest: in.rest, Closed: in.closed, Output: t.out.state(),
		}
		s.Terminal.Output.FD = -1
	case *pipes:
		s.Pipes = &PipesState{In: descriptor(t.in.File), Out: t.out.state(), Err: t.err.state()}
	}
	if p.channel != nil && !p.released {
		s.Channel = descriptor(p.channel)
	}
	if p.note != nil {
		s.Note = &NoteState{File: p.note.file, Text: p.note.text}
	}
	return s
}

func (o *output) state() OutputState {
	return OutputState{FD: descriptor(o.file), Cut: o.cut.Load(), Rest: o.rest}
}

func (e *ending) state() EndingState {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := EndingState{Begun: e.begun, Told: e.told, Again: e.again}
	if e.begun {
		s.KillIn = max(time.Until(e.killAt), 0)
	}
	return s
}

// descriptor returns the number of an open file, or −1. Asking by Fd would make
// it blocking.
func descriptor(f *os.File) int {
	n := -1
	if conn, err := f.SyscallConn(); err == nil {
		_ = conn.Control(func(fd uintptr) { n = int(fd) })
	}
	return n
}

// Descriptors are the numbers of what the next image needs open.
func (s *State) Descriptors() []int {
	all := []int{s.PIDFD}
	if s.Channel != 0 {
		all = append(all, s.Channel)
	}
	if t := s.Terminal; t != nil {
		all = append(all, t.Master)
	}
	if p := s.Pipes; p != nil {
		all = append(all, p.In, p.Out.FD, p.Err.FD)
	}
	open := all[:0]
	for _, fd := range all {
		if fd >= 0 {
			open = append(open, fd)
		}
	}
	return open
}

// Check says what in a state cannot be a process's. It looks at nothing but the
// state.
func (s *State) Check() error {
	switch {
	case s.PID <= 1:
		return fmt.Errorf("%d is no program's number", s.PID)
	case (s.Terminal == nil) == (s.Pipes == nil):
		return errors.New("a program has a terminal or pipes")
	case s.Terminal != nil && !s.Released && s.Terminal.Master < 0:
		return errors.New("its terminal is closed")
	case s.Pipes != nil && !s.Released && (s.Pipes.Out.FD < 0 || s.Pipes.Err.FD < 0):
		return errors.New("its pipes are closed")
	case s.Channel < 0 || s.Channel > 0 && (s.Pipes == nil || s.Released):
		return fmt.Errorf("descriptor %d is no channel of a program on pipes", s.Channel)
	case s.Grace < 0 || s.Ending.KillIn < 0:
		return errors.New("a time is negative")
	case s.Note != nil && (!filepath.IsAbs(s.Note.File) || filepath.Clean(s.Note.File) != s.Note.File):
		return fmt.Errorf("%q is not the file of a note", s.Note.File)
	}
	for _, fd := range s.Descriptors() {
		if fd < 3 {
			return fmt.Errorf("descriptor %d is not a session's", fd)
		}
	}
	return s.Tree.check()
}
