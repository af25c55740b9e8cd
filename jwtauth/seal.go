package jwtauth

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// SealLifetime is how long an agent's word about its seal key is good for:
// records are looked at years after they were made.
const SealLifetime = 20 * 365 * 24 * time.Hour

// SealCertificate is what an agent said about the key that seals its records.
type SealCertificate struct {
	// Key is the seal key, Ed25519.
	Key PublicKey
	// From is when the host key certified it, Until when that ends. What is
	// sealed says itself when it was made.
	From, Until time.Time
}

// CertifySeal lets the host key say that seal, an Ed25519 key, seals records of
// this agent from now on: a token of [TypeSeal] with aud the host key's
// thumbprint and cnf the seal key.
func CertifySeal(host *PrivateKey, seal PublicKey, now time.Time) (string, error) {
	if host.PublicKey().Equal(seal) {
		return "", errors.New("seal key: it is the host key, which seals nothing")
	}
	issued := NumericDateOf(now)
	return Sign(context.Background(), host, TypeSeal, Claims{
		IssuedAt: issued, Expires: issued.Add(SealLifetime),
		Audience: host.PublicKey().Thumbprint(), Session: seal,
	})
}

// VerifySeal returns what the host key said in a token of [CertifySeal]. It does
// not look at the clock.
func VerifySeal(certificate string, host PublicKey) (SealCertificate, error) {
	u, err := Parse(certificate)
	if err != nil {
		return SealCertificate{}, fmt.Errorf("seal certificate: %w", err)
	}
	if u.Type != TypeSeal {
		return SealCertificate{}, fmt.Errorf("seal certificate: %w", refuse(ReasonType, fmt.Errorf("type %q", u.Type)))
	}
	if u.Kid != host.Thumbprint() {
		return SealCertificate{}, fmt.Errorf("seal certificate: made by another host key, %s", u.Kid)
	}
	t, err := u.Verify(host)
	if err != nil {
		return SealCertificate{}, fmt.Errorf("seal certificate: %w", err)
	}
	if err := t.CheckAudience(host.Thumbprint()); err != nil {
		return SealCertificate{}, fmt.Errorf("seal certificate: %w", err)
	}
	c := t.Claims
	return SealCertificate{Key: c.Session, From: c.IssuedAt.Time(), Until: c.Expires.Time()}, nil
}
