package jwtauth_test

import (
	"strings"
	"testing"
	"time"

	"shellagent/jwtauth"
)

func hostKeys(t *testing.T) (current, next, other *jwtauth.PrivateKey) {
	t.Helper()
	var keys [3]*jwtauth.PrivateKey
	for i := range keys {
		var err error
		if keys[i], err = jwtauth.GeneratePrivateKey(); err != nil {
			t.Fatal(err)
		}
	}
	return keys[0], keys[1], keys[2]
}

func TestSuccession(t *testing.T) {
	current, next, _ := hostKeys(t)
	now := time.Now()
	s, err := jwtauth.SignSuccession(current, next, now)
	if err != nil {
		t.Fatal(err)
	}
	for clock, good := range map[time.Duration]bool{
		0: true, 23 * time.Hour: true, -23 * time.Hour: true, 25 * time.Hour: false, -25 * time.Hour: false,
	} {
		key, err := s.Verify(current.PublicKey(), now.Add(clock))
		if (err == nil) != good || good && !key.Equal(next.PublicKey()) {
			t.Errorf("a clock that is %s off: %v", clock, err)
		}
	}
	if _, err := jwtauth.SignSuccession(current, current, now); err == nil {
		t.Error("a key follows itself")
	}
}

// Whatever is not the word of both keys about each other is refused.
func TestSuccessionForged(t *testing.T) {
	current, next, other := hostKeys(t)
	now := time.Now()
	sign := func(current, next *jwtauth.PrivateKey) jwtauth.Succession {
		t.Helper()
		s, err := jwtauth.SignSuccession(current, next, now)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	good, others, before := sign(current, next), sign(other, next), sign(current, other)
	host := mustSign(t, current, jwtauth.TypeHost, jwtauth.Claims{
		IssuedAt: jwtauth.NumericDateOf(now), Audience: current.PublicKey().Thumbprint(),
		SessionID: next.PublicKey().Thumbprint(), OpenHash: next.PublicKey().Thumbprint(),
	})
	rsa := readVectors(t)
	for name, c := range map[string]struct{ s, want string }{
		"nothing":                         {"||", "ssh"},
		"no promise":                      {good.HostKey + "||" + good.Consent, "promise"},
		"no consent":                      {good.HostKey + "|" + good.Promise + "|", "consent"},
		"promised by another key":         {good.HostKey + "|" + others.Promise + "|" + good.Consent, "promise"},
		"consent for another agent":       {good.HostKey + "|" + good.Promise + "|" + others.Consent, "consent"},
		"of another agent":                {others.HostKey + "|" + others.Promise + "|" + others.Consent, "promise"},
		"the two exchanged":               {good.HostKey + "|" + good.Consent + "|" + good.Promise, "promise"},
		"without the next one's own word": {good.HostKey + "|" + good.Promise + "|" + good.Promise, "consent"},
		"a key that was not promised":     {before.HostKey + "|" + good.Promise + "|" + before.Consent, "promise"},
		"the known key itself":            {current.PublicKey().AuthorizedKey("") + "|" + good.Promise + "|" + good.Consent, "known"},
		"a host token":                    {good.HostKey + "|" + host + "|" + good.Consent, "type"},
		"a key of another kind":           {rsa.Keys[4].OpenSSH + "|" + good.Promise + "|" + good.Consent, "RS256"},
		"a bit":                           {good.HostKey + "|" + flipped(good.Promise) + "|" + good.Consent, "promise"},
	} {
		part := strings.Split(c.s, "|")
		s := jwtauth.Succession{HostKey: part[0], Promise: part[1], Consent: part[2]}
		if key, err := s.Verify(current.PublicKey(), now); err == nil || !key.IsZero() || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// flipped changes a token's signature.
func flipped(token string) string {
	at := strings.LastIndexByte(token, '.') + 10
	with := "A"
	if token[at] == 'A' {
		with = "B"
	}
	return token[:at] + with + token[at+1:]
}

// An agent takes neither of the two for a request's token.
func TestSuccessionIsNoCredential(t *testing.T) {
	current, next, _ := hostKeys(t)
	s, err := jwtauth.SignSuccession(current, next, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	guard, err := jwtauth.NewGuard(jwtauth.GuardConfig{StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer guard.Close()
	wantReason(t, guard.Fresh(mustVerify(t, current.PublicKey(), s.Promise)), jwtauth.ReasonType)
}
