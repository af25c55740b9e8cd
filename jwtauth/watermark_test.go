package jwtauth_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"shellagent/jwtauth"
)

// The clock is the attacker's friend only if the guard believes it.
func TestReplayAfterTheClockSteppedBack(t *testing.T) {
	g := newGuarded(t, jwtauth.GuardConfig{})
	g.clock.Add(time.Hour)
	token := g.token(0, "")
	if err := g.take(token); err != nil {
		t.Fatal(err)
	}
	g.clock.Add(time.Hour)
	// Enough traffic of the key to forget everything that can be forgotten.
	if err := g.take(g.token(0, "")); err != nil {
		t.Fatal(err)
	}
	g.clock.Add(-time.Hour)
	wantReason(t, g.take(token), jwtauth.ReasonStale)
	// The person with the right clock gets in, with a nonce.
	nonce := wantReason(t, g.take(g.token(0, "")), jwtauth.ReasonStale).Nonce
	if err := g.take(g.token(0, nonce)); err != nil {
		t.Error(err)
	}
}

func TestReplayAfterRestart(t *testing.T) {
	for _, crash := range []bool{false, true} {
		for _, step := range []time.Duration{0, -time.Second, -4 * time.Second, -time.Hour} {
			t.Run("crash "+strconv.FormatBool(crash)+", clock "+step.String(), func(t *testing.T) {
				g := newGuarded(t, jwtauth.GuardConfig{})
				// Past the first reservation, and then token by token to its end.
				g.clock.Add(17 * time.Second)
				var tokens []*jwtauth.Token
				for range 30 {
					token := g.token(time.Second, "")
					if err := g.take(token); err != nil {
						t.Fatal(err)
					}
					tokens = append(tokens, token)
					g.clock.Add(333 * time.Millisecond)
				}
				g.clock.Add(-333 * time.Millisecond)
				if !crash {
					if err := g.Close(); err != nil {
						t.Fatal(err)
					}
				}
				g.clock.Add(step)
				g.open(jwtauth.GuardConfig{})
				for _, token := range tokens {
					wantReason(t, g.take(token), jwtauth.ReasonStale)
				}
				nonce := g.nonce()
				if err := g.take(g.token(0, nonce)); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestCleanRestartCostsNoRoundTrip(t *testing.T) {
	g := newGuarded(t, jwtauth.GuardConfig{})
	if err := g.take(g.token(0, "")); err != nil {
		t.Fatal(err)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	wantReason(t, g.Fresh(g.token(0, "")), jwtauth.ReasonStale) // closed
	g.clock.Add(10 * time.Millisecond)
	g.open(jwtauth.GuardConfig{})
	if err := g.take(g.token(0, "")); err != nil {
		t.Error(err)
	}
}

func watermarkOf(t *testing.T, dir string) int64 {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "token-watermark"))
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestWatermarkIsWrittenRarely(t *testing.T) {
	g := newGuarded(t, jwtauth.GuardConfig{PerKey: 1000})
	writes, last := 0, watermarkOf(t, g.dir)
	for range 200 { // 20 s
		g.clock.Add(100 * time.Millisecond)
		if err := g.take(g.token(0, "")); err != nil {
			t.Fatal(err)
		}
		if now := watermarkOf(t, g.dir); now != last {
			writes, last = writes+1, now
		}
	}
	if writes < 3 || writes > 4 {
		t.Errorf("written %d times in 20 s", writes)
	}
}

func TestWatermarkThatCannotBeWritten(t *testing.T) {
	g := newGuarded(t, jwtauth.GuardConfig{})
	moved := g.dir + ".away"
	if err := os.Rename(g.dir, moved); err != nil {
		t.Fatal(err)
	}
	g.clock.Add(time.Minute)
	nonce := wantReason(t, g.take(g.token(0, "")), jwtauth.ReasonStale).Nonce
	if err := g.take(g.token(0, nonce)); err != nil {
		t.Fatalf("nobody gets in: %v", err)
	}
	if err := os.Rename(moved, g.dir); err != nil {
		t.Fatal(err)
	}
	g.clock.Add(5 * time.Second)
	if err := g.take(g.token(0, "")); err != nil {
		t.Errorf("it does not recover: %v", err)
	}
}

func TestNewGuardRefuses(t *testing.T) {
	if _, err := jwtauth.NewGuard(jwtauth.GuardConfig{}); err == nil {
		t.Error("started without a directory")
	}
	if _, err := jwtauth.NewGuard(jwtauth.GuardConfig{StateDir: filepath.Join(t.TempDir(), "none")}); err == nil {
		t.Error("started with a directory that does not exist")
	}
	for _, text := range []string{"", "x", "-1", "99999999999999999999", "1 2"} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "token-watermark"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := jwtauth.NewGuard(jwtauth.GuardConfig{StateDir: dir}); err == nil {
			t.Errorf("started with the watermark %q", text)
		}
	}
}

func TestFloorIsTheLaterOfStartAndWatermark(t *testing.T) {
	g := newGuarded(t, jwtauth.GuardConfig{})
	if !g.Floor().Equal(g.clock.Now()) {
		t.Errorf("first floor is %s", g.Floor())
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	want := g.clock.Now().Add(time.Millisecond)
	g.clock.Add(-time.Hour)
	g.open(jwtauth.GuardConfig{})
	if !g.Floor().Equal(want) {
		t.Errorf("floor is %s, want the watermark %s", g.Floor(), want)
	}
}
