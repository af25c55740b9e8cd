package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"shellagent/internal/forwardd"
	"shellagent/internal/handover"
	"shellagent/shell"
	"shellagent/shell/process"
)

const (
	// messageRate and messageBurst bound what a session of forwards asks and tells
	// in a second, so that it fills no trail: one connection takes two or three.
	messageRate  = 200
	messageBurst = 8192
	// logRate and logBurst bound what the log has of denials; the trail has all.
	logRate  = rate.Limit(0.1)
	logBurst = 10
	// answerLimit is how long a helper may take to read an answer while all is
	// brought to a standstill.
	answerLimit = time.Second
	// maxAgentSockets bounds a session's sockets for key agents.
	maxAgentSockets = 256
)

// forwards answers the programs of live sessions of forwards, which ask before
// each thing that they do.
type forwards struct {
	log     *slog.Logger
	observe func(shell.Event)

	mu     sync.Mutex
	live   map[string]*forwarding // by session id
	frozen []*forwarding
}

func newForwards(log *slog.Logger, observe func(shell.Event)) *forwards {
	return &forwards{log: log, observe: observe, live: make(map[string]*forwarding)}
}

// granted is what is asked of a session: a *[shell.Session].
type granted interface {
	ID() string
	Grant() shell.Grant
	Remote() netip.Addr
	HangUp(reason string)
}

// forwarding is one session of forwards.
type forwarding struct {
	of      *forwards
	session granted
	channel *os.File

	logs *rate.Limiter

	// turn is held while a message is waited for and answered, and while frozen.
	turn sync.Mutex

	mu      sync.Mutex
	sockets []string // for SSH_AUTH_SOCK
}

var _ forwardd.Judge = (*forwarding)(nil)

// follow answers the program of a new session: the broker's Forward.
func (f *forwards) follow(s *shell.Session, p shell.Program) { f.resume(s, p, nil) }

// resume answers the program of a session that was taken over.
func (f *forwards) resume(s *shell.Session, p shell.Program, sockets []string) {
	program, ok := p.(*process.Process)
	if !ok || program.Channel() == nil {
		return // it could not be started, and says why
	}
	f.begin(s, program.Channel(), sockets)
}

func (f *forwards) begin(s granted, channel *os.File, sockets []string) {
	one := &forwarding{of: f, session: s, channel: channel, sockets: sockets, logs: rate.NewLimiter(logRate, logBurst)}
	f.mu.Lock()
	f.live[s.ID()] = one
	f.mu.Unlock()
	go one.run()
}

// run answers until the program's end of the channel is closed.
func (f *forwarding) run() {
	defer f.of.ended(f)
	limit := rate.NewLimiter(messageRate, messageBurst)
	buf := make([]byte, forwardd.MaxMessage)
	for {
		_ = limit.Wait(context.Background()) // which ends: the burst is above one
		err := f.answer(buf)
		switch {
		case err == nil, errors.Is(err, os.ErrDeadlineExceeded):
		case errors.Is(err, errNoMessage):
			f.of.log.Error("a session's helper for forwards said what none says", "session", f.session.ID(), "err", err)
			f.session.HangUp("its forwards cannot be checked")
			return
		default:
			return
		}
	}
}

var errNoMessage = errors.New("no message")

// answer takes one message.
func (f *forwarding) answer(buf []byte) error {
	f.turn.Lock()
	defer f.turn.Unlock()
	n, err := f.channel.Read(buf)
	if err != nil {
		return err
	}
	reply, err := forwardd.Answer(f, buf[:n])
	if err != nil {
		return fmt.Errorf("%w: %w", errNoMessage, err)
	}
	if reply != nil {
		_, err = f.channel.Write(reply)
	}
	return err
}

func (f *forwards) ended(one *forwarding) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.live[one.session.ID()] == one {
		delete(f.live, one.session.ID())
	}
}

// freeze brings all to a standstill, and returns the sockets for key agents by
// session id. What was read is answered; what was not is read by the next image.
func (f *forwards) freeze() map[string][]string {
	f.mu.Lock()
	all := make([]*forwarding, 0, len(f.live))
	for _, one := range f.live {
		all = append(all, one)
	}
	f.frozen = all
	f.mu.Unlock()
	// At once: helpers that read no answers hold an upgrade up no longer than one.
	var standing sync.WaitGroup
	for _, one := range all {
		standing.Go(func() {
			// What was read is still to be answered. A closed one stands still.
			_ = one.channel.SetReadDeadline(time.Unix(1, 0))
			_ = one.channel.SetWriteDeadline(time.Now().Add(answerLimit))
			one.turn.Lock()
		})
	}
	standing.Wait()
	sockets := make(map[string][]string)
	for _, one := range all {
		if s := one.agentSockets(); len(s) > 0 {
			sockets[one.session.ID()] = s
		}
	}
	return sockets
}

// goOn undoes freeze.
func (f *forwards) goOn() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, one := range f.frozen {
		_ = one.channel.SetDeadline(time.Time{})
		one.turn.Unlock()
	}
	f.frozen = nil
}

func (f *forwarding) agentSockets() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.sockets)
}

func (f *forwarding) addSocket(path string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.sockets) >= maxAgentSockets {
		return false
	}
	f.sockets = append(f.sockets, path)
	return true
}

func (f *forwarding) removeSocket(path string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i := slices.Index(f.sockets, path); i >= 0 {
		f.sockets = slices.Delete(f.sockets, i, i+1)
	}
}

// isAgentSocket is the broker's AgentSocket.
func (f *forwards) isAgentSocket(kid string, uid uint32, path string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, one := range f.live {
		if g := one.session.Grant(); g.Key == kid && g.Credential.UID == uid && slices.Contains(one.agentSockets(), path) {
			return true
		}
	}
	return false
}

// checkForwards holds what is said of forwards against the session.
func (s *sessionRecord) checkForwards() error {
	id := s.Session.Opening.ID
	channel := s.Program != nil && s.Program.Channel != 0
	if len(s.AgentSockets) > maxAgentSockets || len(s.AgentSockets) > 0 && !channel || channel && s.Session.Opened.Forward == nil {
		return fmt.Errorf("%w: session %s forwards without a right to", handover.ErrDamaged, id)
	}
	for _, path := range s.AgentSockets {
		if !filepath.IsAbs(path) {
			return fmt.Errorf("%w: session %s has the socket %q", handover.ErrDamaged, id, path)
		}
	}
	return nil
}
