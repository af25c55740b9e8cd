package broker

import (
	"context"
	"fmt"
	"time"

	"shellagent/jwtauth"
	"shellagent/shell"
)

// HostKeys are an agent's identities: one, and around a rotation another.
type HostKeys struct {
	// Current is the agent's identity.
	Current *jwtauth.PrivateKey
	// Next is the one that it will have; nil outside of a rotation. Announced
	// tells clients so.
	Next      *jwtauth.PrivateKey
	Announced *jwtauth.Succession
	// Previous is the one that it had before the last rotation; nil when there was
	// none. Sessions whose clients know it go on with it, and hear by Followed
	// that Current came after it. Until then identity tokens may name it as well:
	// those of clients who connected before.
	Previous *jwtauth.PrivateKey
	Followed *jwtauth.Succession
	Until    time.Time
}

// SetHostKeys replaces the agent's identities. Sessions go on with the one that
// their clients know.
func (b *Broker) SetHostKeys(k HostKeys) { b.hosts.Store(&k) }

// checkAudience refuses an identity token that names no identity of this agent.
func (b *Broker) checkAudience(t *jwtauth.Token) error {
	k := b.hosts.Load()
	for _, own := range []*jwtauth.PrivateKey{k.Next, k.Previous} {
		if own == nil || own == k.Previous && !b.now().Before(k.Until) {
			continue
		}
		if t.CheckAudience(own.PublicKey().Thumbprint()) == nil {
			return nil
		}
	}
	return t.CheckAudience(k.Current.PublicKey().Thumbprint())
}

// named returns the identity with a thumbprint, the current one if none has it.
func (k *HostKeys) named(thumbprint string) *jwtauth.PrivateKey {
	for _, own := range []*jwtauth.PrivateKey{k.Next, k.Previous} {
		if own != nil && own.PublicKey().Thumbprint() == thumbprint {
			return own
		}
	}
	return k.Current
}

// knownAs is the thumbprint of the identity by which a caller knows the agent.
func (who *caller) knownAs() string {
	if who.client != nil {
		return who.client.host
	}
	return who.token.Claims.Audience
}

// hostToken proves to the caller, who has the session key, which agent answers
// and to which token.
func (b *Broker) hostToken(s *shell.Session, who *caller, key jwtauth.PublicKey) (string, *shell.NextHostKey, error) {
	k := b.hosts.Load()
	own, next := k.named(who.knownAs()), k.Announced
	switch own {
	case k.Previous:
		next = k.Followed
	case k.Next:
		next = nil
	}
	now := jwtauth.NumericDateOf(b.now())
	token, err := jwtauth.Sign(context.Background(), own, jwtauth.TypeHost, jwtauth.Claims{
		IssuedAt: now, Expires: now.Add(jwtauth.Lifetime), Audience: key.Thumbprint(),
		SessionID: s.ID(), OpenHash: who.token.Hash(), Share: who.share,
	})
	if err != nil {
		return "", nil, fmt.Errorf("host token: %w", err)
	}
	return token, (*shell.NextHostKey)(next), nil
}
