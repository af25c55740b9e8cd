// Package broker decides and acts: it verifies every token itself, asks policy,
// starts programs and keeps their sessions. It never parses HTTP; what reaches
// it is a [shell.Call] from the front, in which nothing is trusted but what a
// key holder signed.
//
// The package also holds the codec between the two processes and the
// supervision of the front, since both sides of that socket are one contract.
package broker

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"shellagent/jwtauth"
	"shellagent/shell"
	"shellagent/sources"
)

// StartFunc starts what a grant allows. It returns before the program produced
// output; the error is for the log, unless it is a *[shell.Denied].
type StartFunc func(ctx context.Context, grant shell.Grant, open shell.OpenRequest, remote netip.AddrPort) (shell.Program, error)

// Config is what a [Broker] is made of. All fields but Observer and Log are
// required.
type Config struct {
	// HostKey is the agent's identity; it signs host tokens here. See
	// [Broker.SetHostKeys].
	HostKey *jwtauth.PrivateKey
	// Guard judges freshness and refuses replays.
	Guard *jwtauth.Guard
	// Registry holds the sessions.
	Registry *shell.Registry
	// Policy is the first policy in force; see [Broker.SetPolicy].
	Policy *sources.Policy
	Start  StartFunc
	// Record begins the recording of a session whose grant asks for one; nil when
	// nothing is recorded. Its error is for the log, unless it is a
	// *[shell.Denied].
	Record RecordFunc
	// Drain is told of a session whose grant asks for its output to be sent on,
	// before anything else of it is known; nil when there is nowhere to send it.
	Drain func(*shell.Session, shell.Grant)
	// Forward is told of a session of forwards and its program, before anything else
	// of it is known; AgentSocket is [sources.Request.AgentSocket]. Both may be nil.
	Forward     func(*shell.Session, shell.Program)
	AgentSocket func(kid string, uid uint32, path string) bool
	// Host names this host in messages to the client.
	Host string
	// Confirm is told that somebody came in who confirms a reload, and says
	// whether one waits for that; nil means that none ever does.
	Confirm func(Confirmation) error
	// Admission is asked before a program is started, besides policy; its error
	// refuses the session. It may be nil.
	Admission func() error
	// Observer may be nil.
	Observer Observer
	// Log may be nil, which discards.
	Log *slog.Logger
	// Now may be nil, which means time.Now.
	Now func() time.Time
}

// Broker implements [Handler]. It is safe for concurrent use.
type Broker struct {
	hosts    atomic.Pointer[HostKeys]
	guard    *jwtauth.Guard
	sessions *shell.Registry
	start    StartFunc
	records  RecordFunc
	drain    func(*shell.Session, shell.Grant)
	forward  func(*shell.Session, shell.Program)
	sockets  func(kid string, uid uint32, path string) bool
	hostname string
	confirms func(Confirmation) error
	admits   func() error
	observer Observer
	log      *slog.Logger
	now      func() time.Time
	turns    *Turns
	asking   *Turns // verify commands
	askers   *crowd[netip.Prefix]
	rooms    *crowd[string] // calls in progress, by identity key

	penalties *Penalties
	refusals  *refusalLog

	again    chan struct{} // holds one while policy is asked about live sessions
	policy   atomic.Pointer[sources.Policy]
	stopping atomic.Bool

	mu      sync.Mutex
	clients map[string]*client // by thumbprint of the session key
	lives   map[string]*live   // by session id
	leavers leavers            // whose session has just been forgotten
	// vouchedKeys are those of live sessions that a verify command let in.
	vouchedKeys map[string]vouchedKey
}

// client is one holder of a session key.
type client struct {
	key     jwtauth.PublicKey
	mac     *jwtauth.MAC // agreed with them; nil for none
	owner   string       // thumbprint of the identity key that opened the session
	host    string       // thumbprint of the host key that they know; "" for the current one
	window  jwtauth.Window
	session *shell.Session
}

// live is what a session is asked again with when policy changes.
type live struct {
	session *shell.Session
	request sources.Request
	uid     uint32
	kids    []string
}

var _ Handler = (*Broker)(nil)

// New returns a broker that is ready to handle calls.
func New(c Config) (*Broker, error) {
	if c.HostKey == nil || c.Guard == nil || c.Registry == nil || c.Policy == nil || c.Start == nil {
		return nil, errors.New("broker: host key, guard, registry, policy and start are required")
	}
	b := &Broker{
		guard: c.Guard, sessions: c.Registry, start: c.Start, records: c.Record, drain: c.Drain,
		forward: c.Forward, sockets: c.AgentSocket,
		hostname: c.Host, confirms: c.Confirm, admits: c.Admission, observer: c.Observer, log: c.Log, now: c.Now,
		turns:   NewTurns(runtime.GOMAXPROCS(0)+1, 1),
		clients: make(map[string]*client), lives: make(map[string]*live),
		vouchedKeys: make(map[string]vouchedKey), again: make(chan struct{}, 1),
	}
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	if b.now == nil {
		b.now = time.Now
	}
	b.asking, b.askers = NewTurns(maxAsking, 0), newCrowd[netip.Prefix](maxAskersEach, maxAskers)
	b.rooms = newRooms()
	b.penalties, b.refusals = NewPenalties(b.now), newRefusalLog(b.log, b.observe)
	b.policy.Store(c.Policy)
	b.SetHostKeys(HostKeys{Current: c.HostKey})
	return b, nil
}

// Policy returns the policy in force.
func (b *Broker) Policy() *sources.Policy { return b.policy.Load() }

func (b *Broker) observe(e shell.Event) {
	if b.observer == nil {
		return
	}
	if e.Time.IsZero() {
		e.Time = b.now()
	}
	b.observer.Observe(e)
}

// Stop refuses new sessions, tells every live one that the agent is stopping,
// hangs them up, and waits until they have ended or ctx is done.
func (b *Broker) Stop(ctx context.Context) error {
	b.stopping.Store(true)
	b.sessions.HangUpAll("the agent is stopping")
	defer b.refusals.close()
	return b.sessions.Wait(ctx)
}
