package jwtauth

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// SuccessionLifetime is how long a [Succession] is good for: like a leaf, it
// does not outlive by much the agent that made it.
const SuccessionLifetime = 24 * time.Hour

// Succession is an agent's word that another host key follows its own, so that
// clients who know the one may know the other. Both keys sign it: without the
// next one's consent an agent could announce the key of another agent as its
// own, and its clients would speak to that one in its place.
type Succession struct {
	// HostKey is the next host key as an OpenSSH line.
	HostKey string `json:"hostKey"`
	// Promise is signed by the host key, Consent by the next one. Both are tokens
	// of [TypeNext]: aud is the host key's thumbprint, cnf the next key.
	Promise string `json:"promise"`
	Consent string `json:"consent"`
}

// SignSuccession announces next, an Ed25519 key, for [SuccessionLifetime] from now.
func SignSuccession(current, next *PrivateKey, now time.Time) (Succession, error) {
	if current.PublicKey().Equal(next.PublicKey()) {
		return Succession{}, errors.New("succession: a host key does not follow itself")
	}
	issued := NumericDateOf(now)
	claims := Claims{
		IssuedAt: issued, Expires: issued.Add(SuccessionLifetime),
		Audience: current.PublicKey().Thumbprint(), Session: next.PublicKey(),
	}
	s := Succession{HostKey: next.PublicKey().AuthorizedKey("")}
	var err error
	if s.Promise, err = Sign(context.Background(), current, TypeNext, claims); err != nil {
		return Succession{}, err
	}
	s.Consent, err = Sign(context.Background(), next, TypeNext, claims)
	return s, err
}

// Verify returns the key that follows the known host key. A clock that is up to
// a day behind does, as it does for leaves.
func (s Succession) Verify(known PublicKey, now time.Time) (PublicKey, error) {
	next, _, err := ParsePublicKey(s.HostKey)
	switch {
	case err != nil:
		return PublicKey{}, fmt.Errorf("next host key: %w", err)
	case next.Alg() != AlgEdDSA:
		return PublicKey{}, fmt.Errorf("next host key: it is for %s instead of %s", next.Alg(), AlgEdDSA)
	case next.Equal(known):
		return PublicKey{}, errors.New("next host key: it is the one that is known")
	}
	if err := checkSuccession(s.Promise, known, known, next, now); err != nil {
		return PublicKey{}, fmt.Errorf("next host key: the known key's promise: %w", err)
	}
	if err := checkSuccession(s.Consent, next, known, next, now); err != nil {
		return PublicKey{}, fmt.Errorf("next host key: its consent: %w", err)
	}
	return next, nil
}

// checkSuccession checks one of the two tokens, which signer signed.
func checkSuccession(token string, signer, known, next PublicKey, now time.Time) error {
	u, err := Parse(token)
	if err != nil {
		return err
	}
	if u.Type != TypeNext {
		return refuse(ReasonType, fmt.Errorf("type %q", u.Type))
	}
	t, err := u.Verify(signer)
	if err != nil {
		return err
	}
	if err := t.CheckAudience(known.Thumbprint()); err != nil {
		return err
	}
	if !t.Claims.Session.Equal(next) {
		return refuse(ReasonClaims, errors.New("cnf is another key"))
	}
	at, issued := NumericDateOf(now), t.Claims.IssuedAt
	if at >= t.Claims.Expires || at < issued.Add(-leafBackdate) {
		return refuse(ReasonStale, fmt.Errorf("good from %s to %s, and this machine's clock says %s", issued, t.Claims.Expires, at))
	}
	return nil
}
