package jwtauth_test

import (
	"encoding/json"
	"testing"
	"time"

	"shellagent/jwtauth"
)

// upgrade makes the next guard of what the present one knows.
func (g *guarded) upgrade(pause time.Duration) {
	g.t.Helper()
	text, err := json.Marshal(g.State())
	if err != nil {
		g.t.Fatal(err)
	}
	g.clock.Add(pause)
	var st jwtauth.GuardState
	if err := json.Unmarshal(text, &st); err != nil {
		g.t.Fatal(err)
	}
	g.Guard, err = jwtauth.RestoreGuard(jwtauth.GuardConfig{Now: g.clock.Now, StateDir: g.dir}, st, pause)
	if err != nil {
		g.t.Fatal(err)
	}
}

func TestGuardCrossesAnUpgrade(t *testing.T) {
	g := newGuarded(t, jwtauth.GuardConfig{})
	g.clock.Add(time.Minute)
	used, unused := g.token(0, ""), g.token(0, "")
	nonce, usedNonce := g.nonce(), g.nonce()
	withNonce := g.token(-time.Hour, usedNonce)
	for _, token := range []*jwtauth.Token{used, withNonce} {
		if err := g.take(token); err != nil {
			t.Fatal(err)
		}
	}
	g.upgrade(100 * time.Millisecond)
	wantReason(t, g.take(used), jwtauth.ReasonReplay)
	wantReason(t, g.take(withNonce), jwtauth.ReasonReplay)
	wantReason(t, g.take(g.token(0, usedNonce)), jwtauth.ReasonNonce)
	if err := g.take(unused); err != nil {
		t.Errorf("a token on its way during the upgrade: %v", err)
	}
	if err := g.take(g.token(-time.Hour, nonce)); err != nil {
		t.Errorf("a nonce made before the upgrade: %v", err)
	}
	if err := g.take(g.token(0, "")); err != nil {
		t.Errorf("a token made after the upgrade: %v", err)
	}
}

// A nonce lapses 60 s after it was made, however many upgrades lie between, and
// is remembered until then.
func TestNoncesLapseAcrossUpgrades(t *testing.T) {
	for _, limit := range []time.Duration{59 * time.Second, 61 * time.Second} {
		g := newGuarded(t, jwtauth.GuardConfig{})
		nonce, used := g.nonce(), g.nonce()
		if err := g.take(g.token(-time.Hour, used)); err != nil {
			t.Fatal(err)
		}
		step := limit / 10
		for range 10 {
			g.clock.Add(step - time.Millisecond)
			g.upgrade(time.Millisecond)
		}
		wantReason(t, g.take(g.token(0, used)), jwtauth.ReasonNonce)
		err := g.take(g.token(-time.Hour, nonce))
		if limit < time.Minute && err != nil {
			t.Errorf("after %v: %v", limit, err)
		}
		if limit > time.Minute {
			wantReason(t, err, jwtauth.ReasonNonce)
		}
	}
}

// The clock may step back meanwhile; what was taken is still not fresh.
func TestClockStepsBackDuringAnUpgrade(t *testing.T) {
	g := newGuarded(t, jwtauth.GuardConfig{})
	g.clock.Add(time.Minute)
	early := g.token(0, "")
	g.clock.Add(10 * time.Second)
	wantReason(t, g.Fresh(early), jwtauth.ReasonStale)
	text := g.State()
	g.clock.Add(-10 * time.Second)
	guard, err := jwtauth.RestoreGuard(jwtauth.GuardConfig{Now: g.clock.Now, StateDir: g.dir}, text, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	wantReason(t, guard.Fresh(early), jwtauth.ReasonStale)
}

// A crash after the upgrade leaves a watermark above what was taken since.
func TestWatermarkAfterAnUpgrade(t *testing.T) {
	g := newGuarded(t, jwtauth.GuardConfig{})
	g.clock.Add(time.Hour)
	g.upgrade(time.Second)
	token := g.token(0, "")
	if err := g.take(token); err != nil {
		t.Fatal(err)
	}
	g.open(jwtauth.GuardConfig{})
	wantReason(t, g.take(token), jwtauth.ReasonStale)
}

func TestWindowCrossesAnUpgrade(t *testing.T) {
	var before, after jwtauth.Window
	for _, n := range []uint64{1, 2, 5, 70} {
		if err := before.Accept(n); err != nil {
			t.Fatal(err)
		}
	}
	after.Restore(before.State())
	for _, n := range []uint64{1, 5, 6, 70} {
		if after.Accept(n) == nil {
			t.Errorf("counter %d was taken again", n)
		}
	}
	for _, n := range []uint64{7, 69, 71} {
		if err := after.Accept(n); err != nil {
			t.Errorf("counter %d: %v", n, err)
		}
	}
}

func FuzzRestoreGuard(f *testing.F) {
	dir := f.TempDir()
	guard, err := jwtauth.NewGuard(jwtauth.GuardConfig{StateDir: dir})
	if err != nil {
		f.Fatal(err)
	}
	text, err := json.Marshal(guard.State())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, text []byte) {
		var st jwtauth.GuardState
		if json.Unmarshal(text, &st) != nil {
			return
		}
		g, err := jwtauth.RestoreGuard(jwtauth.GuardConfig{StateDir: dir}, st, time.Second)
		if err != nil {
			return
		}
		again := g.State()
		if err := again.Check(); err != nil {
			t.Errorf("a restored guard has a bad state: %v", err)
		}
	})
}
