package jwtauth_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"shellagent/jwtauth"
)

// guarded is a guard with its clock, its directory and one key.
type guarded struct {
	*jwtauth.Guard
	t     *testing.T
	clock *clock
	dir   string
	key   *jwtauth.PrivateKey
}

func newGuarded(t *testing.T, cfg jwtauth.GuardConfig) *guarded {
	g := &guarded{t: t, clock: newClock(), dir: t.TempDir(), key: newKey(t)}
	g.open(cfg)
	return g
}

// open starts a guard, as the first one or after a restart.
func (g *guarded) open(cfg jwtauth.GuardConfig) {
	g.t.Helper()
	cfg.Now, cfg.StateDir = g.clock.Now, g.dir
	guard, err := jwtauth.NewGuard(cfg)
	if err != nil {
		g.t.Fatal(err)
	}
	g.Guard = guard
}

// token makes an identity token of the clock plus skew.
func (g *guarded) token(skew time.Duration, nonce string) *jwtauth.Token {
	g.t.Helper()
	return g.tokenOf(g.key, skew, nonce)
}

func (g *guarded) tokenOf(key *jwtauth.PrivateKey, skew time.Duration, nonce string) *jwtauth.Token {
	g.t.Helper()
	c := identityClaims(g.t, g.clock.Now().Add(skew))
	c.Nonce = nonce
	return mustVerify(g.t, key.PublicKey(), mustSign(g.t, key, jwtauth.TypeIdentity, c))
}

func (g *guarded) take(t *jwtauth.Token) error {
	if err := g.Fresh(t); err != nil {
		return err
	}
	return g.Consume(t)
}

// nonce gets one by being stale.
func (g *guarded) nonce() string {
	g.t.Helper()
	return wantReason(g.t, g.Fresh(g.token(-time.Hour, "")), jwtauth.ReasonStale).Nonce
}

func TestFreshByTime(t *testing.T) {
	g := newGuarded(t, jwtauth.GuardConfig{})
	g.clock.Add(time.Minute)
	for skew, fresh := range map[time.Duration]bool{
		0:                                 true,
		time.Second:                       true,
		time.Second + time.Millisecond:    false,
		time.Hour:                         false,
		-time.Second:                      true,
		-5*time.Second + time.Millisecond: true,
		-5 * time.Second:                  false,
		-24 * time.Hour:                   false,
	} {
		t.Run(skew.String(), func(t *testing.T) {
			err := g.Fresh(g.token(skew, ""))
			if fresh && err != nil {
				t.Fatal(err)
			}
			if !fresh && wantReason(t, err, jwtauth.ReasonStale).Nonce == "" {
				t.Error("stale without a nonce")
			}
		})
	}
	host := mustVerify(t, g.key.PublicKey(), mustSign(t, g.key, jwtauth.TypeHost, jwtauth.Claims{
		IssuedAt: jwtauth.NumericDateOf(g.clock.Now()), Audience: g.key.PublicKey().Thumbprint(),
		SessionID: g.key.PublicKey().Thumbprint(), OpenHash: g.key.PublicKey().Thumbprint(),
	}))
	wantReason(t, g.Fresh(host), jwtauth.ReasonType)
}

func TestNonceStandsInForTime(t *testing.T) {
	g := newGuarded(t, jwtauth.GuardConfig{})
	nonce := g.nonce()
	wrongClock := g.token(-90*24*time.Hour, nonce)
	g.clock.Add(59 * time.Second)
	if err := g.take(wrongClock); err != nil {
		t.Fatal(err)
	}
	wantReason(t, g.take(wrongClock), jwtauth.ReasonReplay)
	if n := wantReason(t, g.take(g.token(0, nonce)), jwtauth.ReasonNonce).Nonce; n == "" || n == nonce {
		t.Errorf("a used nonce is answered with %q", n)
	}
}

func TestNonceRefused(t *testing.T) {
	g := newGuarded(t, jwtauth.GuardConfig{})
	nonce := g.nonce()
	flipped := "A" + nonce[1:]
	if nonce[0] == 'A' {
		flipped = "B" + nonce[1:]
	}
	for name, token := range map[string]*jwtauth.Token{
		"made up":        g.token(0, "AAAA"),
		"changed":        g.token(0, flipped),
		"of another key": g.tokenOf(newKey(t), 0, nonce),
	} {
		t.Run(name, func(t *testing.T) {
			if n := wantReason(t, g.Fresh(token), jwtauth.ReasonNonce).Nonce; n == "" {
				t.Error("refused without a new nonce")
			}
			wantReason(t, g.Consume(token), jwtauth.ReasonNonce)
		})
	}
	t.Run("lapsed", func(t *testing.T) {
		g.clock.Add(60 * time.Second)
		again := wantReason(t, g.Fresh(g.token(0, nonce)), jwtauth.ReasonNonce).Nonce
		if err := g.take(g.token(-time.Hour, again)); err != nil {
			t.Error(err)
		}
	})
	t.Run("of an earlier start", func(t *testing.T) {
		nonce := g.nonce()
		if err := g.Close(); err != nil {
			t.Fatal(err)
		}
		g.open(jwtauth.GuardConfig{})
		wantReason(t, g.Fresh(g.token(0, nonce)), jwtauth.ReasonNonce)
	})
}

func TestReplay(t *testing.T) {
	g := newGuarded(t, jwtauth.GuardConfig{})
	token := g.token(0, "")
	if err := g.take(token); err != nil {
		t.Fatal(err)
	}
	for range 6 {
		wantReason(t, g.Consume(token), jwtauth.ReasonReplay)
		g.clock.Add(800 * time.Millisecond)
	}
	g.clock.Add(200 * time.Millisecond)
	wantReason(t, g.Fresh(token), jwtauth.ReasonStale)
	wantReason(t, g.Consume(token), jwtauth.ReasonStale)
}

func TestSlowPolicyDoesNotOutliveTheToken(t *testing.T) {
	g := newGuarded(t, jwtauth.GuardConfig{})
	token := g.token(0, "")
	if err := g.Fresh(token); err != nil {
		t.Fatal(err)
	}
	g.clock.Add(5 * time.Second)
	wantReason(t, g.Consume(token), jwtauth.ReasonStale)
}

func TestBoundPerKey(t *testing.T) {
	g := newGuarded(t, jwtauth.GuardConfig{PerKey: 8})
	for range 8 {
		if err := g.take(g.token(0, "")); err != nil {
			t.Fatal(err)
		}
	}
	wantReason(t, g.take(g.token(0, "")), jwtauth.ReasonReplayFull)
	if err := g.take(g.tokenOf(newKey(t), 0, "")); err != nil {
		t.Errorf("a busy key locks another out: %v", err)
	}
	g.clock.Add(5 * time.Second)
	if err := g.take(g.token(0, "")); err != nil {
		t.Errorf("the key stays locked out: %v", err)
	}
}

func TestBoundInKeys(t *testing.T) {
	g := newGuarded(t, jwtauth.GuardConfig{Keys: 3})
	known := newKey(t)
	for _, key := range []*jwtauth.PrivateKey{known, newKey(t), newKey(t)} {
		if err := g.take(g.tokenOf(key, 0, "")); err != nil {
			t.Fatal(err)
		}
	}
	wantReason(t, g.take(g.tokenOf(newKey(t), 0, "")), jwtauth.ReasonReplayFull)
	if err := g.take(g.tokenOf(known, 0, "")); err != nil {
		t.Errorf("a known key is locked out: %v", err)
	}
	g.clock.Add(5 * time.Second)
	if err := g.take(g.tokenOf(newKey(t), 0, "")); err != nil {
		t.Errorf("dead keys keep their place: %v", err)
	}
}

func TestRequestTokens(t *testing.T) {
	g := newGuarded(t, jwtauth.GuardConfig{PerKey: 2, Keys: 1})
	request := func(skew time.Duration, nonce string) *jwtauth.Token {
		c := requestClaims(1)
		c.IssuedAt, c.Nonce = jwtauth.NumericDateOf(g.clock.Now().Add(skew)), nonce
		return mustVerify(t, g.key.PublicKey(), mustSign(t, g.key, jwtauth.TypeRequest, c))
	}
	for range 100 { // the window's business, not the guard's
		if err := g.take(request(0, "")); err != nil {
			t.Fatal(err)
		}
	}
	nonce := wantReason(t, g.take(request(-time.Minute, "")), jwtauth.ReasonStale).Nonce
	if err := g.take(request(-time.Minute, nonce)); err != nil {
		t.Fatal(err)
	}
	wantReason(t, g.take(request(0, nonce)), jwtauth.ReasonNonce)
	// Their nonces take no place from identity tokens.
	if err := g.take(g.token(0, "")); err != nil {
		t.Error(err)
	}
	// A step of the clock does not stop a live session that follows it.
	g.clock.Add(time.Hour)
	if err := g.take(request(0, "")); err != nil {
		t.Fatal(err)
	}
	g.clock.Add(-time.Hour)
	if err := g.take(request(0, "")); err != nil {
		t.Error(err)
	}
}

func TestOneOfManyTakesTheToken(t *testing.T) {
	g := newGuarded(t, jwtauth.GuardConfig{})
	for range 50 {
		token := g.token(0, "")
		var taken atomic.Int64
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if g.take(token) == nil {
					taken.Add(1)
				}
			})
		}
		wg.Wait()
		if taken.Load() != 1 {
			t.Fatalf("taken %d times", taken.Load())
		}
	}
}
