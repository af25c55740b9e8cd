package agent

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"shellagent/broker"
	"shellagent/internal/handover"
	"shellagent/internal/version"
	"shellagent/jwtauth"
	"shellagent/record"
	"shellagent/shell"
	"shellagent/shell/process"
)

// stateHead is the first record of a state. After it come three records for
// every session: sessionRecord, its output, its input.
type stateHead struct {
	Agent string `json:"agent"` // the version that wrote it
	// Frozen is when everything stood still, Began when the front was ended:
	// nanoseconds of the monotonic clock, which is the kernel's.
	Frozen   int64  `json:"frozen"`
	Began    int64  `json:"began"`
	Upgrades uint64 `json:"upgrades"` // how often before

	StateDir  string   `json:"stateDir"`
	Addresses []string `json:"addresses"` // as configured when the sockets were opened
	Lock      int      `json:"lock"`      // descriptors from here on
	Listeners []int    `json:"listeners"`
	// Scrapes is the socket for metrics, and Metrics its address as configured;
	// an agent without metrics has neither.
	Scrapes int    `json:"scrapes,omitempty"`
	Metrics string `json:"metrics,omitempty"`

	Guard jwtauth.GuardState `json:"guard"`
	// Penalties are what addresses have against them.
	Penalties []broker.PenaltyState `json:"penalties,omitempty"`
	Host      process.HostState     `json:"host"`
	Sessions  int                   `json:"sessions"`
	// Audit is what is to be written to the trail.
	Audit unwritten `json:"audit,omitzero"`
}

// sessionRecord is a session and its program, which is nil when it has finished.
type sessionRecord struct {
	broker.SessionState
	Program *process.State `json:"program,omitempty"`
	// Recording is nil for a session that is not recorded.
	Recording *record.State `json:"recording,omitempty"`
	// Drained is up to where the output was sent on; nil for a session whose is not.
	Drained *uint64 `json:"drained,omitempty"`
	// AgentSockets are what a session of forwards made for SSH_AUTH_SOCK.
	AgentSockets []string `json:"agentSockets,omitempty"`
}

// Bounds of a state's records.
const (
	maxHead         = 256 << 20 // nearly all of it tokens of the last seconds
	maxRecord       = 16 << 20
	maxOutput       = 1 << 30
	maxInput        = 1 << 20
	maxHandedOver   = 1 << 20 // sessions
	maxHandedSocket = 64
)

// kept is up to where sessions were recorded, and their output sent on, and the
// sockets for key agents, by session id, and what the audit trail lacks.
type kept struct {
	recorded map[string]*record.State
	drained  map[string]uint64
	sockets  map[string][]string
	left     unwritten
}

// monotonic is the kernel's clock that nobody sets, which goes on over an exec.
func monotonic() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) // it is always there
	return time.Duration(t.Nano())
}

// writeState writes what the frozen agent knows, and returns the descriptors that
// the next image needs.
func (a *agent) writeState(k *kept, began time.Duration) (state *os.File, descriptors []int, err error) {
	w, err := handover.Create()
	if err != nil {
		return nil, nil, err
	}
	descriptors, err = a.writeRecords(w, k, began)
	if err != nil {
		w.Discard()
		return nil, nil, err
	}
	if state, err = w.Seal(); err != nil {
		w.Discard()
		return nil, nil, err
	}
	return state, descriptors, nil
}

func (a *agent) writeRecords(w *handover.Writer, k *kept, began time.Duration) (descriptors []int, err error) {
	head := stateHead{
		Agent: version.String(), Frozen: int64(monotonic()), Began: int64(began), Upgrades: a.upgrades,
		StateDir: a.config.StateDir, Addresses: a.opened, Lock: numberOf(a.lock),
		Guard: a.guard.State(), Penalties: a.broker.Penalties(), Host: a.system.State(), Audit: k.left,
	}
	for _, l := range a.listeners {
		head.Listeners = append(head.Listeners, numberOf(l))
	}
	if a.scrapes != nil {
		head.Scrapes, head.Metrics = numberOf(a.scrapes), a.config.Metrics.Address
		descriptors = append(descriptors, head.Scrapes)
	}
	err = a.broker.States(func(broker.SessionState, shell.Program) error { head.Sessions++; return nil })
	if err != nil {
		return nil, err
	}
	if err := w.JSON(head); err != nil {
		return nil, err
	}
	descriptors = append(descriptors, head.Lock)
	descriptors = append(descriptors, head.Listeners...)
	err = a.broker.States(func(s broker.SessionState, p shell.Program) error {
		record := sessionRecord{SessionState: s, Recording: k.recorded[s.Session.Opening.ID], AgentSockets: k.sockets[s.Session.Opening.ID]}
		if offset, ok := k.drained[s.Session.Opening.ID]; ok {
			record.Drained = &offset
		}
		switch p := p.(type) {
		case nil:
		case *process.Process:
			st := p.State()
			record.Program = &st
			descriptors = append(descriptors, st.Descriptors()...)
		default:
			return fmt.Errorf("session %s: its program cannot be handed over", s.Session.Opening.ID)
		}
		return errors.Join(w.JSON(record), w.Bytes(s.Session.Output.Records...), w.Bytes(s.Session.Input.Queued...))
	})
	return descriptors, err
}

// numberOf returns the descriptor of a file or socket, or −1.
func numberOf(f syscall.Conn) int {
	n := -1
	if conn, err := f.SyscallConn(); err == nil {
		_ = conn.Control(func(fd uintptr) { n = int(fd) })
	}
	return n
}

// readHead reads the first record and holds it against itself.
func readHead(r *handover.Reader) (stateHead, error) {
	var head stateHead
	if err := r.JSON(&head, maxHead); err != nil {
		return head, err
	}
	switch {
	case head.Sessions < 0 || head.Sessions > maxHandedOver:
		return head, fmt.Errorf("%w: %d sessions", handover.ErrDamaged, head.Sessions)
	case len(head.Listeners) == 0 || len(head.Listeners) > maxHandedSocket || head.Lock < 3 || head.StateDir == "":
		return head, fmt.Errorf("%w: it has no sockets or no directory", handover.ErrDamaged)
	}
	if (head.Scrapes == 0) != (head.Metrics == "") || head.Scrapes != 0 && head.Scrapes < 3 {
		return head, fmt.Errorf("%w: descriptor %d is no socket for metrics at %q", handover.ErrDamaged, head.Scrapes, head.Metrics)
	}
	for _, fd := range head.Listeners {
		if fd < 3 {
			return head, fmt.Errorf("%w: descriptor %d is no socket", handover.ErrDamaged, fd)
		}
	}
	if err := broker.CheckPenalties(head.Penalties); err != nil {
		return head, fmt.Errorf("%w: %w", handover.ErrDamaged, err)
	}
	return head, head.Guard.Check()
}

// readSession reads a session. Without its bytes it is enough to take over its
// program.
func readSession(r *handover.Reader, bytes bool) (s sessionRecord, err error) {
	if err := r.JSON(&s, maxRecord); err != nil {
		return s, err
	}
	if s.Program == nil && !s.Session.Finished {
		return s, fmt.Errorf("%w: session %s has no program", handover.ErrDamaged, s.Session.Opening.ID)
	}
	if err := errors.Join(s.checkRecording(), s.checkForwards()); err != nil {
		return s, err
	}
	if !bytes {
		return s, errors.Join(r.Skip(), r.Skip())
	}
	output, err := r.Bytes(maxOutput)
	if err != nil {
		return s, err
	}
	input, err := r.Bytes(maxInput)
	if err != nil {
		return s, err
	}
	if len(output) > 0 {
		s.Session.Output.Records = [][]byte{output}
	}
	if len(input) > 0 {
		s.Session.Input.Queued = [][]byte{input}
	}
	return s, nil
}

// checkState reads a whole state as an upgrade does, and takes nothing over.
func checkState(f *os.File) error {
	r, err := handover.Open(f)
	if err != nil {
		return err
	}
	head, err := readHead(r)
	if err != nil {
		return err
	}
	for range head.Sessions {
		s, err := readSession(r, true)
		if err != nil {
			return err
		}
		if s.Program != nil {
			if err := s.Program.Check(); err != nil {
				return fmt.Errorf("session %s: %w", s.Session.Opening.ID, err)
			}
		}
		if err := s.Check(); err != nil {
			return err
		}
	}
	return r.End()
}
