package jwtauth

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

const (
	// maxAhead is how far a token may be issued in the judge's future.
	maxAhead = NumericDate(1000)

	defaultPerKey = 1024
	defaultKeys   = 4096
)

// GuardConfig is what a [Guard] needs.
type GuardConfig struct {
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// StateDir is an existing directory of the agent's own, for the watermark.
	StateDir string
	// PerKey bounds the live tokens of one key; 0 means 1024. Keys bounds the
	// keys with live tokens; 0 means 4096.
	PerKey int
	Keys   int
	// Log is told when the watermark cannot be written; nil means silence.
	Log *slog.Logger
}

// complete fills in what was left out.
func (cfg *GuardConfig) complete() error {
	if cfg.StateDir == "" {
		return errors.New("guard: no state directory to keep the watermark in: set stateDir")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.PerKey <= 0 {
		cfg.PerKey = defaultPerKey
	}
	if cfg.Keys <= 0 {
		cfg.Keys = defaultKeys
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return nil
}

// Guard judges when tokens are fresh and takes each identity token once. It is
// asked in two steps, so that nobody without a right uses up anything: Fresh
// after the signature held, Consume after policy agreed.
//
// A token without a nonce is fresh when now < exp and iat <= now + 1 s. For an
// identity token, now never goes back, and a token from before the guard's
// start or the watermark is stale; what was taken before a restart, a crash or
// a step of the clock is never fresh again. A token with a nonce is judged by
// the nonce instead: made by this guard for this key, at most 60 s ago, not
// used. Request tokens are kept from replay by their [Window], so they are held
// to the clock alone.
//
// A Guard is safe for concurrent use.
type Guard struct {
	now    func() time.Time
	start  time.Time
	floor  NumericDate
	nonces *nonces
	mark   *watermark

	mu       sync.Mutex
	high     NumericDate   // the latest moment seen
	issued   NumericDate   // the latest iat that was fresh
	elapsed  time.Duration // since start, on the monotonic clock
	identity replays
	request  replays // a table of its own: session keys cost nothing to make
}

// NewGuard reads the watermark and writes it, so that a directory that cannot
// be written is found at start.
func NewGuard(cfg GuardConfig) (*Guard, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	start := cfg.Now()
	mark, floor, err := openWatermark(cfg.StateDir, NumericDateOf(start), cfg.Log)
	if err != nil {
		return nil, err
	}
	return &Guard{
		now:      cfg.Now,
		start:    start,
		floor:    floor,
		nonces:   newNonces(),
		mark:     mark,
		high:     NumericDateOf(start),
		identity: newReplays(cfg.PerKey, cfg.Keys),
		request:  newReplays(cfg.PerKey, cfg.Keys),
	}, nil
}

// Floor is the moment before which identity tokens are stale: the start, or
// the watermark when that is later. A floor far in the future says that the
// clock was once wrong; every open then takes a second round trip.
func (g *Guard) Floor() time.Time { return g.floor.Time() }

// instant is the guard's clock read once.
type instant struct {
	wall    NumericDate   // as the clock says now
	high    NumericDate   // the latest that it ever said
	elapsed time.Duration // since the start
}

func (g *Guard) read() instant {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.readLocked()
}

func (g *Guard) readLocked() instant {
	now := g.now()
	g.high = max(g.high, NumericDateOf(now))
	g.elapsed = max(g.elapsed, now.Sub(g.start))
	return instant{NumericDateOf(now), g.high, g.elapsed}
}

// Fresh says whether the token is of this moment. It changes nothing and may
// be asked again, as after a slow decision. Its errors are *[Error] with
// ReasonStale or ReasonNonce, and carry a nonce to make the token again with.
func (g *Guard) Fresh(t *Token) error {
	if t.Type != TypeIdentity && t.Type != TypeRequest {
		return refuse(ReasonType, errors.New("what agents sign is not for agents"))
	}
	at := g.read()
	if t.Claims.Nonce != "" {
		if _, err := g.nonces.check(t.Kid, t.Claims.Nonce, at.elapsed); err != nil {
			return g.again(ReasonNonce, t, at, err)
		}
		return nil
	}
	if err := g.timely(t, at); err != nil {
		return g.again(ReasonStale, t, at, err)
	}
	return nil
}

// again refuses with a nonce to make the token again with.
func (g *Guard) again(reason string, t *Token, at instant, err error) error {
	return &Error{Reason: reason, Nonce: g.nonces.issue(t.Kid, at.elapsed), Err: err}
}

func (g *Guard) timely(t *Token, at instant) error {
	issued, now := t.Claims.IssuedAt, at.high
	if t.Type == TypeRequest {
		now = at.wall
	}
	if now >= t.Claims.Expires || issued > now+maxAhead {
		return fmt.Errorf("issued at %s, judged at %s", issued, now)
	}
	if t.Type == TypeRequest {
		return nil
	}
	if issued < g.floor {
		return fmt.Errorf("issued at %s, before the start or the watermark at %s", issued, g.floor)
	}
	// In this order, so that Close writes a watermark above every token that
	// was ever fresh.
	g.mu.Lock()
	g.issued = max(g.issued, issued)
	g.mu.Unlock()
	if !g.mark.cover(issued, now, at.elapsed) {
		return errors.New("the watermark on disk is behind: tokens are judged by nonces until it can be written")
	}
	return nil
}

// Consume takes an identity token, and the nonce of any token, for good. It is
// called once per request, after Fresh and policy; a token that lapsed since
// Fresh is refused. Its errors are *[Error]: ReasonReplay, ReasonReplayFull, or
// ReasonStale and ReasonNonce with a new nonce.
func (g *Guard) Consume(t *Token) error {
	if t.Type == TypeRequest && t.Claims.Nonce == "" {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	// The clock is read under the lock: an entry that somebody else found dead
	// and forgot is dead here too, so that none is taken twice around its end.
	at := g.readLocked()
	e := entry{id: digestOf("jti:", t.Claims.ID), expires: t.Claims.Expires}
	if t.Claims.Nonce != "" {
		made, err := g.nonces.check(t.Kid, t.Claims.Nonce, at.elapsed)
		if err != nil {
			return g.again(ReasonNonce, t, at, err)
		}
		e.hasNonce, e.nonce, e.lapses = true, digestOf("nonce:", t.Claims.Nonce), made+nonceLifetime
	}
	if e.dead(at) {
		return g.again(ReasonStale, t, at, errors.New("it lapsed while it was judged"))
	}
	table := &g.identity
	if t.Type == TypeRequest {
		table, e.id = &g.request, e.nonce // the window judges its counter
	}
	switch reason := table.take(t.Kid, e, at); reason {
	case "":
		return nil
	case ReasonNonce:
		return g.again(reason, t, at, errors.New("the nonce was used before"))
	case ReasonReplay:
		return refuse(reason, fmt.Errorf("jti %s was taken before", t.Claims.ID))
	default:
		return refuse(reason, errors.New("too many live tokens of this key, or of too many keys"))
	}
}

// Close writes the watermark. Afterwards tokens without a nonce are stale.
func (g *Guard) Close() error {
	g.mark.close()
	at := g.read()
	g.mu.Lock()
	last := max(at.high, g.issued)
	g.mu.Unlock()
	return g.mark.write(max(g.floor, last+1))
}
