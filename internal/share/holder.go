package share

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"shellagent/internal/rawio"
	"shellagent/shell"
)

const (
	// DefaultSessions is [HolderConfig.Sessions]'s.
	DefaultSessions = 64
	// moreGuests is how many may ask something beside those with a session.
	moreGuests = 32
	// askTime is what a guest has for its first message.
	askTime = 5 * time.Second
)

// Session is a running program as a client has it. Next is for one goroutine, the
// rest is safe for concurrent use; shellhttp's Lasting is one, and [Remote].
type Session interface {
	Info() shell.SessionInfo
	// Next's data is valid until the next call.
	Next(context.Context) (shell.Frame, error)
	Write([]byte) (int, error)
	CloseWrite() error
	Resize(shell.Winsize)
	// Redraw has a program that fills the terminal draw it anew.
	Redraw(shell.Winsize)
	// Signal sends the program one of [shell.SignalRequest]'s, by name.
	Signal(name string) error
	Ack(end uint64)
	// Suspend says that this program stops, until Continue; false means that the
	// agent does not know. It returns within a second or so.
	Suspend() bool
	Continue()
	// Detach leaves the program running. It returns within seconds.
	Detach() error
	// Close hangs up a program that runs, else lets go of its exit. It returns
	// within seconds, also when the connection is dead.
	Close() error
}

// Voice reaches the person for whom a session is opened, while it lasts. It is
// safe for concurrent use and does not block for long.
type Voice interface {
	Say(level Level, text string)
	// Outage says that the connection is lost for longer than a moment, or that
	// this is over.
	Outage(over bool)
}

// HolderConfig is what a holder needs.
type HolderConfig struct {
	// Target and URL are for [Status].
	Target, URL string
	// Idle is how long it stays without a session; 0 is for good.
	Idle time.Duration
	// Sessions bounds those that are open at once; 0 is DefaultSessions.
	Sessions int
	// Open opens a session. It is called from several goroutines.
	Open func(context.Context, Ask, Voice) (Session, error)
	// Explain says what an error of Open or of a session's Next means.
	Explain func(error, Session) Failure
	// Forward does DoForward and DoCancel, and returns the ports that were chosen. It
	// is called from several goroutines. Nil does neither.
	Forward func(context.Context, Ask) (ports []int, err error)
	// Forwards returns what is forwarded; nil is nothing.
	Forwards func() []string
}

// Holder keeps a connection for guests.
type Holder struct {
	cfg     HolderConfig
	started time.Time

	mu       sync.Mutex
	changed  chan struct{} // holds one: look again
	guests   map[*guest]struct{}
	sessions int
	opened   uint64
	since    time.Time // without a session
	stopping bool
	exiting  bool
}

// NewHolder returns a holder that [Holder.Serve] runs.
func NewHolder(cfg HolderConfig) *Holder {
	if cfg.Sessions <= 0 {
		cfg.Sessions = DefaultSessions
	}
	now := time.Now()
	return &Holder{cfg: cfg, started: now, since: now, changed: make(chan struct{}, 1), guests: make(map[*guest]struct{})}
}

// Serve takes guests until it was asked to stop and the last is gone, until
// nobody has had a session for the idle time, or until ctx ends, which hangs up
// every session. It closes the listener.
func (h *Holder) Serve(ctx context.Context, l *Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var running sync.WaitGroup
	defer running.Wait()
	failed := make(chan error, 1)
	running.Go(func() { failed <- h.accept(ctx, l, &running) })
	err := h.await(ctx, failed)
	l.Close()
	if !h.isStopping() || err != nil {
		cancel() // nobody is left but who asked for something in this moment
		return err
	}
	err = h.awaitLast(ctx)
	cancel()
	return err
}

// await returns when no more guests are to be taken.
func (h *Holder) await(ctx context.Context, failed <-chan error) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		left, over := h.idleLeft(time.Now())
		if over {
			return nil
		}
		timer.Reset(left)
		select {
		case <-h.changed:
		case <-timer.C:
		case err := <-failed:
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// idleLeft returns how long to wait before it is asked again, or that it is over.
func (h *Holder) idleLeft(now time.Time) (left time.Duration, over bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.stopping:
		return 0, true
	case h.sessions > 0 || h.cfg.Idle == 0:
		return time.Hour, false
	}
	left = h.cfg.Idle - now.Sub(h.since)
	return left, left <= 0
}

func (h *Holder) isStopping() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.stopping
}

// awaitLast returns when the last session is gone, or all are to go.
func (h *Holder) awaitLast(ctx context.Context) error {
	for {
		h.mu.Lock()
		over := h.sessions == 0 || h.exiting
		h.mu.Unlock()
		if over {
			return nil
		}
		select {
		case <-h.changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (h *Holder) accept(ctx context.Context, l *Listener, running *sync.WaitGroup) error {
	for {
		conn, err := l.unix.AcceptUnix()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return nil
			}
			return fmt.Errorf("take guests of the shared connection: %w", err)
		}
		pid, err := checkPeer(conn)
		g := &guest{holder: h, conn: rawio.NewConn(conn), pid: pid}
		if err != nil || !h.enter(g) {
			conn.Close()
			continue
		}
		running.Go(func() {
			defer h.leave(g)
			g.serve(ctx)
		})
	}
}

// enter counts a guest, unless there are too many.
func (h *Holder) enter(g *guest) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.guests) >= h.cfg.Sessions+moreGuests {
		return false
	}
	h.guests[g] = struct{}{}
	return true
}

func (h *Holder) leave(g *guest) {
	h.change(func() {
		delete(h.guests, g)
		if g.counted {
			if h.sessions--; h.sessions == 0 {
				h.since = time.Now()
			}
		}
	})
}

// count lets a guest have a session, unless there are too many.
func (h *Holder) count(g *guest) (ok bool) {
	h.change(func() {
		if ok = h.sessions < h.cfg.Sessions && !h.stopping; ok {
			h.sessions++
			h.opened++
			g.counted = true
		}
	})
	return ok
}

func (h *Holder) change(f func()) {
	h.mu.Lock()
	f()
	h.mu.Unlock()
	select {
	case h.changed <- struct{}{}:
	default:
	}
}

// Stop has the holder take no more guests and end with the last session; with
// now sessions are hung up.
func (h *Holder) Stop(now bool) {
	h.change(func() {
		h.stopping = true
		h.exiting = h.exiting || now
	})
}

// Status tells what the holder does.
func (h *Holder) Status() Status {
	var forwards []string
	if h.cfg.Forwards != nil {
		forwards = h.cfg.Forwards()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	s := Status{
		Version: 1, PID: os.Getpid(), Target: h.cfg.Target, URL: h.cfg.URL, Started: h.started.UnixMilli(),
		Idle: h.cfg.Idle.Milliseconds(), Stopping: h.stopping, Opened: h.opened, Sessions: []StatusSession{}, Forwards: forwards,
	}
	if h.sessions == 0 && h.cfg.Idle > 0 {
		s.Ends = h.since.Add(h.cfg.Idle).UnixMilli()
	}
	for g := range h.guests {
		if line, ok := g.line(); ok {
			s.Sessions = append(s.Sessions, line)
		}
	}
	return s
}
