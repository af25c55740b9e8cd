package jwtauth

import (
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
)

// terms are what an agreement is bound to, besides the secret: the session, the
// identity token that asked, which names the session key and the host key, and
// what both sides said.
type terms struct {
	session       string // sid
	open          string // oth: the hash of the identity token
	client, agent string // x25519 claims
}

// newShare makes one side's ephemeral key. It is used for one agreement.
func newShare() (*ecdh.PrivateKey, error) {
	share, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("x25519: %w", err)
	}
	return share, nil
}

// claimOfShare is the x25519 claim of a share.
func claimOfShare(share *ecdh.PrivateKey) string {
	return base64.RawURLEncoding.EncodeToString(share.PublicKey().Bytes())
}

// agree derives the keys of a session key's MAC. A peer's point of low order,
// with which the secret would be known to everybody, is an error.
func agree(own *ecdh.PrivateKey, peer, kid string, t terms) (*MAC, error) {
	point, err := decodeStrict(peer)
	if err != nil {
		return nil, fmt.Errorf("x25519: %w", err)
	}
	public, err := ecdh.X25519().NewPublicKey(point)
	if err != nil {
		return nil, fmt.Errorf("x25519: %w", err)
	}
	secret, err := own.ECDH(public)
	if err != nil {
		return nil, fmt.Errorf("x25519: %w", err)
	}
	keys, err := deriveKeys(secret, t)
	if err != nil {
		return nil, err
	}
	return newMAC(kid, keys)
}

// deriveKeys is HKDF-SHA-256 (RFC 5869). All that info is made of is base64url,
// so that it can be read in one way only.
func deriveKeys(secret []byte, t terms) (keys macKeys, err error) {
	salt, err := decodeStrict(t.open)
	if err != nil {
		return keys, fmt.Errorf("mac: %w", err)
	}
	for purpose, key := range map[string]*[macKeySize]byte{"token": &keys.token, "body": &keys.body} {
		info := "shellagent mac 1\n" + purpose + "\n" + t.session + "\n" + t.client + "\n" + t.agent
		derived, err := hkdf.Key(sha256.New, secret, salt, info, macKeySize)
		if err != nil {
			return keys, fmt.Errorf("mac: %w", err)
		}
		copy(key[:], derived)
	}
	return keys, nil
}

// AgreeMAC answers an identity token that opens, or takes over, the session: it
// returns the MAC of the session key in the token, and the share for the host
// token that answers it. Both are nothing when the token offers no share. A
// share that leads to no secret is refused with ReasonClaims.
//
// Only who signed the identity token may get the host token's MAC to work: call
// it for the token that names a session key for the first time, and no other.
func AgreeMAC(t *Token, session string) (m *MAC, share string, err error) {
	if t.Claims.Share == "" {
		return nil, "", nil
	}
	own, err := newShare()
	if err != nil {
		return nil, "", err
	}
	return agreeMAC(t, session, own)
}

func agreeMAC(t *Token, session string, own *ecdh.PrivateKey) (*MAC, string, error) {
	if t.Type != TypeIdentity {
		return nil, "", refuse(ReasonType, errors.New("only an identity token agrees on a MAC"))
	}
	share := claimOfShare(own)
	m, err := agree(own, t.Claims.Share, t.Claims.Session.Thumbprint(), terms{
		session: session, open: t.Hash(), client: t.Claims.Share, agent: share,
	})
	if err != nil {
		return nil, "", refuse(ReasonClaims, err)
	}
	return m, share, nil
}
