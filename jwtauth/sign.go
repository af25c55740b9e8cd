package jwtauth

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
)

// Signer signs tokens. Implementations are safe for concurrent use.
type Signer interface {
	// PublicKey is the key that verifies what Sign makes.
	PublicKey() PublicKey
	// Sign returns a signature of the signing input (RFC 7515 §5.1) in the form
	// of RFC 7518: see [PublicKey.Verify]. It may wait for a person, until ctx ends.
	Sign(ctx context.Context, signingInput []byte) (sig []byte, err error)
}

// Sign makes a token. Claims that [Unverified.Verify] would refuse are refused
// here; an Expires of zero is IssuedAt plus [Lifetime]. The members stand in a
// fixed order, those of Extra sorted behind the others, so that the same claims
// always make the same signing input.
func Sign(ctx context.Context, s Signer, t Type, c Claims) (string, error) {
	if c.Expires == 0 {
		c.Expires = c.IssuedAt.Add(Lifetime)
	}
	payload, err := encodeClaims(t, c)
	if err != nil {
		return "", fmt.Errorf("sign %s: %w", t, err)
	}
	key := s.PublicKey()
	if key.IsZero() {
		return "", fmt.Errorf("sign %s: the signer has no key", t)
	}
	token := appendSigningInput(key, t, payload)
	sig, err := s.Sign(ctx, token)
	if err != nil {
		return "", fmt.Errorf("sign %s: %w", t, err)
	}
	token = append(token, '.')
	token = base64.RawURLEncoding.AppendEncode(token, sig)
	if len(token) > MaxToken {
		return "", fmt.Errorf("sign %s: the token has %d bytes, more than %d: use fewer labels", t, len(token), MaxToken)
	}
	return string(token), nil
}

func appendSigningInput(key PublicKey, t Type, payload []byte) []byte {
	var stack [maxHeader]byte
	h := appendHeader(stack[:0], key.Alg(), t, key.Thumbprint())
	enc := base64.RawURLEncoding
	token := make([]byte, 0, enc.EncodedLen(len(h))+enc.EncodedLen(len(payload))+2+86)
	token = enc.AppendEncode(token, h)
	token = append(token, '.')
	return enc.AppendEncode(token, payload)
}

func appendHeader(h []byte, alg string, t Type, kid string) []byte {
	h = append(append(h, `{"alg":"`...), alg...)
	h = append(append(h, `","typ":"`...), t...)
	h = append(append(h, `","kid":"`...), kid...)
	return append(h, `"}`...)
}

// encodeClaims writes the JSON of claims that it checked.
func encodeClaims(t Type, c Claims) ([]byte, error) {
	if err := checkPresence(t, c.present()); err != nil {
		return nil, refuse(ReasonClaims, err)
	}
	if c.IssuedAt < 0 || c.Expires > maxDate {
		return nil, refuse(ReasonClaims, errDate)
	}
	if err := c.check(t); err != nil {
		return nil, err
	}
	b := make([]byte, 0, 512)
	b = append(append(b, `{"iat":`...), c.IssuedAt.String()...)
	b = append(append(b, `,"exp":`...), c.Expires.String()...)
	// Every text was checked to be base64url or digits: nothing to escape.
	b = appendText(b, "jti", c.ID)
	b = appendText(b, "rh", c.RequestHash)
	b = appendText(b, "aud", c.Audience)
	if !c.Session.IsZero() {
		b = append(append(append(b, `,"cnf":{"jwk":`...), c.Session.JWK()...), '}')
	}
	b = appendText(b, "nonce", c.Nonce)
	b = appendText(b, "sid", c.SessionID)
	b = appendText(b, "oth", c.OpenHash)
	b = appendText(b, "bm", c.BodyTag)
	b = appendText(b, "x25519", c.Share)
	b, err := appendExtra(b, c.Extra)
	if err != nil {
		return nil, err
	}
	b = append(b, '}')
	if len(c.Extra) == 0 {
		return b, nil
	}
	// Labels may be anything: read them as the other side will.
	if _, err := decodeClaims(t, b); err != nil {
		return nil, err
	}
	return b, nil
}

func appendText(b []byte, name, text string) []byte {
	if text == "" {
		return b
	}
	b = append(append(append(b, `,"`...), name...), `":"`...)
	return append(append(b, text...), '"')
}

func appendExtra(b []byte, extra map[string]any) ([]byte, error) {
	if len(extra) == 0 {
		return b, nil
	}
	for name := range extra {
		if bit, err := lookup(name); bit != 0 || err != nil {
			return nil, fmt.Errorf("label %q has the name of a registered claim: choose another", name)
		}
	}
	labels, err := json.Marshal(extra) // sorts
	if err != nil {
		return nil, fmt.Errorf("labels: %w", err)
	}
	if !jsontext.Value(labels).IsValid() {
		return nil, errors.New("labels: invalid UTF-8 or doubled names")
	}
	return append(append(b, ','), labels[1:len(labels)-1]...), nil
}

// present is the set of claims that have a value. Dates always have.
func (c *Claims) present() claim {
	have := claimIssuedAt | claimExpires
	for _, field := range []struct {
		text string
		bit  claim
	}{
		{c.ID, claimID}, {c.RequestHash, claimRequestHash}, {c.Audience, claimAudience},
		{c.Nonce, claimNonce}, {c.SessionID, claimSessionID}, {c.OpenHash, claimOpenHash},
		{c.BodyTag, claimBodyTag}, {c.Share, claimShare},
	} {
		if field.text != "" {
			have |= field.bit
		}
	}
	if !c.Session.IsZero() {
		have |= claimSession
	}
	return have
}
