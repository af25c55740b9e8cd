package broker

import (
	"testing"
	"time"

	"shellagent/jwtauth"
)

// Around a rotation a token may name each of the agent's keys, the one before
// not for long, and is answered by the key that it names.
func TestAudiencesOfARotation(t *testing.T) {
	var keys [4]*jwtauth.PrivateKey
	for i := range keys {
		var err error
		if keys[i], err = jwtauth.GeneratePrivateKey(); err != nil {
			t.Fatal(err)
		}
	}
	before, current, next, other := keys[0], keys[1], keys[2], keys[3]
	now := time.Now()
	b := &Broker{now: func() time.Time { return now }}
	b.SetHostKeys(HostKeys{Current: current, Next: next, Previous: before, Until: now.Add(time.Minute)})
	token := func(host *jwtauth.PrivateKey) *jwtauth.Token {
		return &jwtauth.Token{Type: jwtauth.TypeIdentity, Claims: jwtauth.Claims{Audience: host.PublicKey().Thumbprint()}}
	}
	for name, c := range map[string]struct {
		host     *jwtauth.PrivateKey
		late, ok bool
	}{
		"current": {current, false, true}, "next": {next, false, true}, "before": {before, false, true},
		"before, late": {before, true, false}, "current, late": {current, true, true}, "another agent's": {other, false, false},
	} {
		now = time.Now()
		if c.late {
			now = now.Add(2 * time.Minute)
		}
		if err := b.checkAudience(token(c.host)); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	k := b.hosts.Load()
	for _, key := range keys[:3] {
		who := &caller{token: token(key)}
		if k.named(who.knownAs()) != key {
			t.Error("a token is answered by another key than it names")
		}
	}
	// A session's requests go on with the key that its client knows, also late.
	if who := (&caller{client: &client{host: before.PublicKey().Thumbprint()}}); k.named(who.knownAs()) != before {
		t.Error("a session changed its host key")
	}
	if who := (&caller{client: &client{}}); k.named(who.knownAs()) != current {
		t.Error("a session without a known host key is not answered by the current one")
	}
	b.SetHostKeys(HostKeys{Current: next})
	if b.checkAudience(token(current)) == nil || b.checkAudience(token(next)) != nil {
		t.Error("after a restart another key than the new one counts")
	}
}
