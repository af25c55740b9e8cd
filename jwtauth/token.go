package jwtauth

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
)

// maxSignature is the length of an RSA signature of [maxRSABits].
const maxSignature = maxRSABits / 8

// Token is a token whose signature and claims hold. Whether it is for this
// audience and request, fresh and new is asked of it next: CheckAudience,
// CheckRequest, [Guard] and [Window].
type Token struct {
	Type Type
	// Kid is the thumbprint of the key that signed it.
	Kid    string
	Claims Claims
	// Raw is the compact form. It is a credential for as long as it lives.
	Raw string

	counter uint64
	mac     *MAC // that it was made under
	taken   bool // by a window; one comparison of its tag is left
}

// Verify checks the signature with k, over the raw bytes, and then the claims.
// The algorithm is the key's; a token that names another, or another key, is
// refused after the same work. Errors are *[Error].
func (u Unverified) Verify(k PublicKey) (*Token, error) {
	if u.Alg != k.Alg() {
		VerifyDummy(u)
		return nil, refuse(ReasonAlgorithm, fmt.Errorf("the token says %s, the key is for %s", u.Alg, k.Alg()))
	}
	if err := u.verifySignature(k); err != nil {
		return nil, err
	}
	if u.Kid != k.Thumbprint() {
		return nil, refuse(ReasonSignature, errors.New("the kid is another key's"))
	}
	return u.decode()
}

// Unproven decodes what a token claims without looking at its signature. It is
// for refusing early what would be refused anyhow, before somebody else is asked
// whose key signed it; nothing may be granted on its word. Errors are *[Error].
func (u Unverified) Unproven() (*Token, error) {
	if u.raw == "" {
		return nil, refuse(ReasonMalformed, errors.New("no token"))
	}
	return u.decode()
}

func (u Unverified) decode() (*Token, error) {
	var stack [512]byte
	payload, err := appendDecoded(stack[:0], u.raw[u.payload:u.sigStart-1])
	if err != nil {
		return nil, refuse(ReasonMalformed, fmt.Errorf("claims: %w", err))
	}
	t := &Token{Type: u.Type, Kid: u.Kid, Raw: u.raw}
	if t.Claims, err = u.decodeClaims(payload); err != nil {
		return nil, err
	}
	if t.Type == TypeRequest {
		if t.counter, err = parseCounter(t.Claims.ID); err != nil {
			return nil, refuse(ReasonClaims, err)
		}
	}
	return t, nil
}

func (u Unverified) decodeClaims(payload []byte) (Claims, error) {
	kind := u.Type
	if u.Alg == AlgHS256 {
		kind = typeTagged
	}
	if kind.isRequest() && len(payload) <= MaxPayload {
		if c, ok := readPlain(kind, string(payload)); ok {
			return c, nil
		}
	}
	return decodeClaims(kind, slices.Clone(payload))
}

func (u Unverified) verifySignature(k PublicKey) error {
	if u.raw == "" {
		return refuse(ReasonMalformed, errors.New("no token"))
	}
	var buf [maxSignature]byte
	encoded := u.raw[u.sigStart:]
	if len(encoded) > strictURL.EncodedLen(maxSignature) {
		return refuse(ReasonSignature, errors.New("the signature is too long"))
	}
	sig, err := appendDecoded(buf[:0], encoded)
	if err != nil {
		return refuse(ReasonMalformed, fmt.Errorf("signature: %w", err))
	}
	if err := k.verify(u.raw[:u.sigStart-1], sig); err != nil {
		return refuse(ReasonSignature, err)
	}
	return nil
}

// Counter is the jti of a request token, for [Window]; 0 for other types.
func (t *Token) Counter() uint64 { return t.counter }

// Hash returns the base64url SHA-256 of the compact form: the oth of the host
// token that answers it.
func (t *Token) Hash() string { return TokenHash(t.Raw) }

// TokenHash is [Token.Hash] for the one who made the token.
func TokenHash(token string) string {
	return encodeSum(sha256.Sum256([]byte(token)))
}

// CheckAudience refuses a token that was made for somebody else.
func (t *Token) CheckAudience(thumbprint string) error {
	if thumbprint == "" || t.Claims.Audience != thumbprint {
		return refuse(ReasonAudience, fmt.Errorf("made for %q", t.Claims.Audience))
	}
	return nil
}

// Tagged says that the token was made under a [MAC]: its request can be checked
// once, after [Window.Take].
func (t *Token) Tagged() bool { return t.mac != nil }

// CheckRequest refuses a token that was made for another method, target or body.
func (t *Token) CheckRequest(method, target string, body []byte) error {
	if t.mac != nil {
		return t.checkTag(method, target, body)
	}
	hash := RequestHash(method, target, body)
	if hash == "" || t.Claims.RequestHash != hash {
		return refuse(ReasonRequestHash, fmt.Errorf("not made for this %s %s and body", method, target))
	}
	return nil
}

// checkTag compares the tag once for a counter that was taken: nobody learns by
// trying what another body's tag would be.
func (t *Token) checkTag(method, target string, body []byte) error {
	if !t.taken {
		return refuse(ReasonCounter, errors.New("its counter was not taken for this request"))
	}
	t.taken = false
	return t.mac.check(t.counter, t.Claims.BodyTag, method, target, body)
}
