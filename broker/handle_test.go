package broker

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"shellagent/jwtauth"
	"shellagent/shell"
	"shellagent/sources"
)

// Time passes, and with it a key's right: its session ends without a reload.
func TestNotAfterEndsALiveSession(t *testing.T) {
	alice, bob := newTestKey(t), newTestKey(t)
	c := oneSource(alice)
	entry := listed(bob)
	entry.NotAfter = time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	c.VerifyKeys = append(c.VerifyKeys, entry)
	a := newTestAgent(t, c)
	alices, bobs := a.open("debug", alice), a.open("debug", bob)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); a.Expire(ctx, 5*time.Millisecond) }()
	defer func() { stop(); <-ended }()
	a.ahead.Store(int64(2 * time.Hour))
	if e := bobs.exit(); !strings.Contains(e.Reason, "policy") {
		t.Errorf("bob's session ended with %+v", e)
	}
	a.wantCode("bob opens again", a.openCall("debug", bob, newTestKey(t)), "unauthorized")
	a.wantCode("alice types", alices.stdin(0, "x"), "")
}

// A token that was taken is not taken again, whichever way the clock goes.
func TestReplayAndTheClock(t *testing.T) {
	alice := newTestKey(t)
	a := newTestAgent(t, oneSource(alice))
	c := a.list(alice)
	a.wantCode("the first time", c, "")
	a.wantCode("at once", c, "replayed")
	a.ahead.Store(int64(3 * time.Second))
	a.wantCode("3 s later", c, "replayed")
	a.ahead.Store(int64(6 * time.Second))
	a.wantCode("6 s later", c, "stale")
	a.ahead.Store(0)
	a.wantCode("after the clock stepped back", c, "stale")
	a.ahead.Store(int64(-time.Hour))
	if r := a.wantCode("an hour back", c, "stale"); r.Nonce == "" {
		t.Error("there is no nonce")
	}
	// Who has a key gets in by the nonce, by a clock that is an hour back.
	r := a.wantCode("a new one", a.list(alice), "stale")
	again := call("GET", "/v1/sessions", nil)
	a.signed(again, alice, jwtauth.TypeIdentity, jwtauth.Claims{
		IssuedAt: jwtauth.NumericDateOf(a.now()), ID: jwtauth.NewID(), Session: newTestKey(t).PublicKey(), Nonce: r.Nonce,
		Audience: a.host.PublicKey().Thumbprint(), RequestHash: jwtauth.RequestHash("GET", "/v1/sessions", nil),
	})
	a.wantCode("with the nonce", again, "")
	a.wantCode("with the nonce again", again, "replayed")
}

// Where a key may come from and until when holds as well when it comes back.
func TestComingBackIsAskedForAgain(t *testing.T) {
	alice := newTestKey(t)
	entry := listed(alice)
	entry.From = []string{operator.String()}
	c := oneSource()
	c.VerifyKeys = []sources.KeyEntry{entry}
	a := newTestAgent(t, c)
	s := a.open("debug", alice)
	back := func(method, target string, from netip.Addr) *shell.Call {
		c := a.sign(call(method, target, nil), nil, alice, newTestKey(t).PublicKey())
		c.Remote = netip.AddrPortFrom(from, 1)
		return c
	}
	a.wantCode("attach from elsewhere", back("POST", s.target("attach"), flooder), "unauthorized")
	a.wantCode("watch from elsewhere", back("POST", s.target("watch"), flooder), "unauthorized")
	a.wantCode("kill from elsewhere", back("DELETE", "/v1/sessions/"+s.id, flooder), "unauthorized")
	if r := a.wantCode("list from elsewhere", back("GET", "/v1/sessions", flooder), ""); strings.Contains(string(r.Body), s.id) {
		t.Error("the session is listed elsewhere")
	}
	if r := a.wantCode("list", back("GET", "/v1/sessions", operator), ""); !strings.Contains(string(r.Body), s.id) {
		t.Errorf("the session is not listed: %s", r.Body)
	}
	if r := a.wantCode("attach", back("POST", s.target("attach"), operator), ""); r.Stream != nil {
		r.Stream.Close()
	}
	a.wantCode("kill", back("DELETE", "/v1/sessions/"+s.id, operator), "")
}

// Refusals are held back longer and longer; nothing else is.
func TestPenaltiesOfCalls(t *testing.T) {
	alice := newTestKey(t)
	a := newTestAgent(t, oneSource(alice))
	s := a.open("debug", alice)
	var waits []time.Duration
	for range freePoints + 8 {
		r := a.Handle(t.Context(), a.list(newTestKey(t)))
		waits = append(waits, r.Wait)
		want := "unauthorized"
		if r.Wait > 0 {
			want = "rate_limited"
		}
		if r.Code != want {
			t.Errorf("held back for %v with %s", r.Wait, r.Code)
		}
	}
	if waits[freePoints-1] != 0 || waits[freePoints] == 0 || waits[len(waits)-1] != shell.MaxWait {
		t.Errorf("the waits are %v", waits)
	}
	for what, c := range map[string]*shell.Call{
		"a good token": a.list(alice), "an open": a.openCall("debug", alice, newTestKey(t)), "typing": s.stdin(0, "x"),
	} {
		r := a.wantCode(what, c, "")
		if r.Wait != 0 {
			t.Errorf("%s is held back for %v", what, r.Wait)
		}
		if r.Stream != nil {
			r.Stream.Close()
		}
	}
	// What a key holder needs to know is told at once: their clock, their session.
	old := a.list(alice)
	a.ahead.Store(int64(time.Minute))
	for what, c := range map[string]*shell.Call{"stale": old, "offset_gap": s.stdin(99, "x")} {
		if r := a.wantCode(what, c, what); r.Wait != 0 {
			t.Errorf("%s is held back for %v", what, r.Wait)
		}
	}
	other := a.list(newTestKey(t))
	other.Remote = netip.AddrPortFrom(flooder, 1)
	if r := a.wantCode("another address", other, "unauthorized"); r.Wait != 0 {
		t.Errorf("another address waits %v", r.Wait)
	}
	if log := a.log.String(); !strings.Contains(log, "reason=unknown_key") || !strings.Contains(log, `reason=rate_limited err="unknown_key`) {
		t.Errorf("the log does not tell what is behind it:\n%s", log)
	}
}

// An address that makes the agent ask its verify commands again and again is
// sent away; others have their turn.
func TestVerifyCommandsAreAskedInTurns(t *testing.T) {
	c := oneSource()
	c.Sources["debug"] = sources.Source{VerifyCommands: []sources.VerifyCommand{{Command: []string{"/bin/sleep", "0.5"}}}}
	a := newTestAgent(t, c)
	codes := make(chan string, 200)
	ask := func(from netip.Addr) {
		c := a.openCall("debug", newTestKey(t), newTestKey(t))
		c.Remote = netip.AddrPortFrom(from, 1)
		codes <- a.Handle(context.Background(), c).Code
	}
	for range maxAskersEach + 20 {
		go ask(flooder)
	}
	for range 20 {
		if code := <-codes; code != "rate_limited" && code != "unauthorized" {
			t.Errorf("beyond the room: %q", code)
		}
	}
	began := time.Now()
	done := make(chan struct{})
	go func() { defer close(done); ask(operator) }()
	<-done
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("another address waited %v", took)
	}
	for range maxAskersEach + 1 {
		<-codes
	}
}
