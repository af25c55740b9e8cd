package shell

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// SessionConfig is what a session is made of. ID and Grant are required.
type SessionConfig struct {
	// ID is the session's: the thumbprint of the session key of its open.
	ID    string
	Grant Grant
	// Request is what the client asked for; policy is asked again with it.
	Request OpenRequest
	Remote  netip.Addr
	// SessionKey is the thumbprint of the key that may write into the session;
	// empty means ID.
	SessionKey string
	// OpenHash identifies the open, so that a repeated one can be told from
	// another one.
	OpenHash string
	// Backlog is in bytes; 0 means [DefaultBacklog].
	Backlog int
	// Grace is what a program has between HUP and KILL; 0 means 5 seconds.
	Grace time.Duration
	// OnEvent is told EventAttached, EventDetached, EventOutput and EventEnded,
	// or is nil. It is called from many goroutines, without a lock held, and
	// must not block.
	OnEvent func(Event)
	// OnGone is called once, when [Session.Gone] is closed, or is nil: a
	// goroutine that waits for that need not exist. It must not block.
	OnGone func()
	// Tap, unless nil, is read by whoever keeps what the session shows; see
	// [Session.Tap].
	Tap *TapOptions
	// Now is the wall clock of events and summaries, nil for time.Now. Limits
	// go by the monotonic clock.
	Now func() time.Time

	plainAlarm bool // for a test with a clock of its own
}

// Session is one program, its output, its input and the client attached to it,
// if any. All methods may be called concurrently. Locks are taken in the order
// registry, session, backlog, and none is held while the program, a client or
// OnEvent is called.
//
// Besides the caller's goroutine in [Stream.Next], an idle session has two
// goroutines on a pty and three on pipes: one per output, because a read
// blocks, and one that waits for the program's end. Input is written by a
// goroutine that exists while there is input, and every limit of time is one
// timer.
type Session struct {
	cfg        SessionConfig
	program    Program
	backlog    *Backlog
	anchor     *Cursor // what the client has acknowledged
	tap        *Tap    // nil without; never changed
	started    time.Time
	lastOutput atomic.Int64           // nanoseconds after started
	typed      atomic.Int64           // the last input, nanoseconds after started
	prompt     atomic.Pointer[Stream] // the latest that may be given to by whoever read; see commit
	live       atomic.Bool            // until the exit is appended

	done, gone, hung chan struct{}
	working          sync.WaitGroup // readers and the input's writer
	feed             func()         // feedInput, made once: a go statement per key allocates nothing
	sizing           sync.Mutex     // held over Resize, so that the last size wins

	mu      sync.Mutex
	after   effects
	telling int       // goroutines that carry out effects
	still   sync.Cond // telling or the input's feeding has changed
	owner   *Registry
	grant   Grant
	remote  netip.Addr
	kids    []string // keys that could write, oldest first; the last one can
	seq     uint64   // last control request taken
	size    Winsize
	stream  *Stream
	input   input
	cover   cover

	timer        *time.Timer
	armed        time.Time // when timer fires; zero when it does not
	detachedAt   time.Time
	lastHeard    time.Time // last verified request of the client
	lastInput    time.Time
	lastProgress time.Time // exit, or news acknowledged
	keepaliveAt  time.Time
	awaited      bool // a client has 25 s to come, whatever linger says
	warned       int  // of durationWarnings
	notices      [][]byte
	watchers     int
	announced    int // of them, to the client

	reason   string // why the agent hung up
	exit     Exit
	ended    bool // exit appended
	finished bool // program released, nothing of the session runs
	dropped  bool
}

// effects are what a change under the lock makes necessary outside of it.
type effects struct {
	events  []Event
	hangUp  bool
	cut     bool
	drop    bool
	changed bool   // for the registry: attached or running is not what it was
	unclaim string // a key that is the session's no longer
	ended   func() // of the stream that was parted
}

// NewSession takes over a started program. The client has 25 seconds, or
// linger if that is longer, to attach.
func NewSession(cfg SessionConfig, p Program) *Session {
	if cfg.SessionKey == "" {
		cfg.SessionKey = cfg.ID
	}
	if cfg.Grace <= 0 {
		cfg.Grace = 5 * time.Second
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	now := time.Now()
	s := &Session{
		cfg: cfg, program: p, backlog: NewBacklog(cfg.Backlog), started: now,
		done: make(chan struct{}), gone: make(chan struct{}), hung: make(chan struct{}),
		grant: cfg.Grant, remote: cfg.Remote, kids: []string{cfg.SessionKey},
		detachedAt: now, lastHeard: now, lastInput: now, awaited: true,
	}
	s.begin()
	if cfg.Backlog <= 0 && !s.terminal() {
		s.backlog.widest = WideBacklog
	}
	s.anchor, _ = s.backlog.Cursor(Holding, 0)
	if cfg.Tap != nil {
		s.tap, _ = newTap(s.backlog, *cfg.Tap, now) // of an empty backlog
	}
	s.live.Store(true)
	s.skipWarnings()
	go s.run(s.readOutputs())
	s.mu.Lock()
	if cfg.Request.NoInput {
		s.input.eof = true
		s.feedMore()
	}
	s.pass(now)
	s.unlock()
	return s
}

// begin makes what every session has, a new one or one that goes on.
func (s *Session) begin() {
	s.feed = s.feedInput
	s.still.L = &s.mu
}

// unlock releases the lock and then does what the changes made necessary.
func (s *Session) unlock() {
	after, owner := s.after, s.owner
	if after.none() {
		s.mu.Unlock()
		return
	}
	s.after = effects{}
	s.telling++
	s.mu.Unlock()
	s.tell(after, owner)
	s.mu.Lock()
	s.telling--
	s.still.Broadcast()
	s.mu.Unlock()
}

// none says that there is nothing to do.
func (e *effects) none() bool {
	return len(e.events) == 0 && !e.hangUp && !e.cut && !e.drop && !e.changed && e.unclaim == "" && e.ended == nil
}

// tell does what changes made necessary, without the lock.
func (s *Session) tell(after effects, owner *Registry) {
	for _, e := range after.events {
		s.emit(e)
	}
	if after.ended != nil {
		after.ended()
	}
	switch {
	case after.cut:
		s.program.HangUp(cutGrace)
	case after.hangUp:
		s.program.HangUp(s.cfg.Grace)
	}
	if after.drop {
		close(s.gone)
		if s.cfg.OnGone != nil {
			s.cfg.OnGone()
		}
	}
	if owner == nil {
		return
	}
	if after.unclaim != "" {
		owner.unclaim(after.unclaim, s)
	}
	if after.drop {
		owner.remove(s)
	}
	if after.drop || after.changed {
		owner.notify()
	}
}

// emit tells an event its time and whoever listens the event.
func (s *Session) emit(e Event) {
	if s.cfg.OnEvent == nil {
		return
	}
	e.Time = s.cfg.Now()
	s.cfg.OnEvent(e)
}

// event is a fact with the session's names; the lock is held.
func (s *Session) event(kind EventKind) Event {
	g := &s.cfg.Grant
	return Event{
		Kind: kind, Session: s.cfg.ID, Source: g.Source, Subject: g.Subject, Key: g.Key,
		User: g.Credential.User, UID: g.Credential.UID, Remote: s.remote,
	}
}

// ID is the session's id.
func (s *Session) ID() string { return s.cfg.ID }

// Request is what the client asked for. Its maps and slices are shared.
func (s *Session) Request() OpenRequest { return s.cfg.Request }

// OpenHash is as configured.
func (s *Session) OpenHash() string { return s.cfg.OpenHash }

// Started is when the session began, with the monotonic clock's reading.
func (s *Session) Started() time.Time { return s.started }

// Done is closed when the program has ended, its output is read, the exit is
// appended, and nothing of the session runs any more.
func (s *Session) Done() <-chan struct{} { return s.done }

// Gone is closed when the exit was acknowledged, or nobody asked for it in
// time: nothing is kept any more, and the registry has forgotten the session.
func (s *Session) Gone() <-chan struct{} { return s.gone }

// Grant is what policy allows now.
func (s *Session) Grant() Grant {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.grant
}

// Remote is where the client last attached from, or opened.
func (s *Session) Remote() netip.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.remote
}

// SessionKey is the thumbprint of the key that may write into the session.
func (s *Session) SessionKey() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kids[len(s.kids)-1]
}

// Attached says whether a client is attached.
func (s *Session) Attached() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stream != nil
}

// StdinNext is the input offset of the next byte that was not taken yet.
func (s *Session) StdinNext() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.input.next
}

// Summary describes the session for a list.
func (s *Session) Summary() SessionSummary {
	s.mu.Lock()
	defer s.mu.Unlock()
	age := time.Since(s.started)
	sum := SessionSummary{
		ID: s.cfg.ID, Source: s.grant.Source, Subject: s.grant.Subject, Key: s.grant.Key,
		User: s.grant.Credential.User, Command: s.cfg.Request.Asked(),
		Started:  s.cfg.Now().Add(-age).UnixMilli(),
		Attached: s.stream != nil, Terminal: s.terminal(), Ended: s.ended,
		Output: s.outputBytes(), Input: s.input.next,
	}
	if s.remote.IsValid() {
		sum.Remote = s.remote.String()
	}
	if s.ended {
		exit := s.exit
		sum.Exit = &exit
	}
	return sum
}

func (s *Session) terminal() bool { return s.cfg.Request.Terminal != nil }

// outputBytes is the output without the exit's offset; the lock is held.
func (s *Session) outputBytes() uint64 {
	end := s.backlog.End()
	if s.ended {
		end--
	}
	return end
}
