package jwtauth

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Lifetime is how long a token lives, and the longest it may say it does, but
// for those of [TypeNext]: [SuccessionLifetime], and of [TypeSeal]: [SealLifetime].
const Lifetime = 5 * time.Second

// maxNonce bounds the nonce claim; ours have 43 characters.
const maxNonce = 128

// Claims are what a token says. Which ones a type needs, and may not have:
//
//	          identity       request   …, HS256  host      next, seal
//	iat, exp  needed         needed    needed    needed    needed
//	jti       22 characters  counter   counter   –         –
//	rh        needed         needed    –         –         –
//	bm        –              –         needed    –         –
//	aud, cnf  needed         –         –         aud only  needed
//	nonce     may            may       may       –         –
//	sid, oth  –              –         –         needed    –
//	x25519    may            –         –         may       –
type Claims struct {
	IssuedAt NumericDate // iat
	Expires  NumericDate // exp; [Sign] takes zero as IssuedAt + [Lifetime]
	// ID is the jti: [NewID] for an identity token, a decimal counter from 1
	// for a request token.
	ID string
	// RequestHash is the rh: see [RequestHash].
	RequestHash string
	// BodyTag is the bm, which takes the place of rh under a [MAC].
	BodyTag string
	// Audience is the aud: the host key's thumbprint in an identity token and in
	// one that says which key comes next or which one seals, the client's session
	// key's in a host token.
	Audience string
	// Session is the key in cnf.jwk (RFC 7800), Ed25519: the session key in an
	// identity token, the next host key or the seal key in one that says so.
	Session PublicKey
	// Nonce was made by the agent that refused an earlier token (RFC 9449 §8).
	Nonce string
	// SessionID (sid) and OpenHash (oth: [Token.Hash] of the token that asked)
	// bind a host token to a session.
	SessionID string
	OpenHash  string
	// Share (x25519) is one side's part of a [MAC]'s agreement: base64url of an
	// X25519 public key.
	Share string
	// Extra are further claims for [Sign]; none may have a registered name.
	Extra map[string]any
	// Map holds every claim as it was decoded, once, together with the fields
	// above. It is nil in request tokens, about which no rule is asked.
	Map map[string]any
}

// claim numbers the registered names.
type claim uint16

const (
	claimIssuedAt claim = 1 << iota
	claimExpires
	claimID
	claimRequestHash
	claimAudience
	claimSession
	claimNonce
	claimSessionID
	claimOpenHash
	claimNotBefore
	claimBodyTag
	claimShare
)

var claimNames = []struct {
	name string
	bit  claim
}{
	{"iat", claimIssuedAt}, {"exp", claimExpires}, {"jti", claimID},
	{"rh", claimRequestHash}, {"aud", claimAudience}, {"cnf", claimSession},
	{"nonce", claimNonce}, {"sid", claimSessionID}, {"oth", claimOpenHash},
	{"bm", claimBodyTag}, {"x25519", claimShare},
	// Nothing here judges nbf, so nobody may believe that it is judged.
	{"nbf", claimNotBefore},
}

// rules are the table above [Claims].
var rules = map[Type]struct{ needed, allowed claim }{
	TypeIdentity: {
		needed:  claimIssuedAt | claimExpires | claimID | claimRequestHash | claimAudience | claimSession,
		allowed: claimNonce | claimShare,
	},
	TypeRequest: {
		needed:  claimIssuedAt | claimExpires | claimID | claimRequestHash,
		allowed: claimNonce,
	},
	typeTagged: {
		needed:  claimIssuedAt | claimExpires | claimID | claimBodyTag,
		allowed: claimNonce,
	},
	TypeHost: {
		needed:  claimIssuedAt | claimExpires | claimAudience | claimSessionID | claimOpenHash,
		allowed: claimShare,
	},
	TypeNext: {
		needed: claimIssuedAt | claimExpires | claimAudience | claimSession,
	},
	TypeSeal: {
		needed: claimIssuedAt | claimExpires | claimAudience | claimSession,
	},
}

// lookup returns the registered claim of that name, or 0 for another name. A
// variant in case of a registered name is an error.
func lookup(name string) (claim, error) {
	for _, c := range claimNames {
		if name == c.name {
			return c.bit, nil
		}
	}
	for _, c := range claimNames {
		if strings.EqualFold(name, c.name) {
			return 0, fmt.Errorf("claim %q must be written %q", name, c.name)
		}
	}
	return 0, nil
}

// names lists the claims of a set, for messages.
func (set claim) names() string {
	var list []string
	for _, c := range claimNames {
		if set&c.bit != 0 {
			list = append(list, c.name)
		}
	}
	return strings.Join(list, ", ")
}

func checkPresence(t Type, have claim) error {
	rule := rules[t]
	if missing := rule.needed &^ have; missing != 0 {
		return fmt.Errorf("missing: %s", missing.names())
	}
	if extra := have &^ (rule.needed | rule.allowed); extra != 0 {
		return fmt.Errorf("out of place in %s: %s", t, extra.names())
	}
	return nil
}

// check judges the values of claims that are all present.
func (c *Claims) check(t Type) error {
	if err := c.checkForms(t); err != nil {
		return refuse(ReasonClaims, err)
	}
	longest := NumericDate(lifetimeOf(t).Milliseconds())
	if life := c.Expires - c.IssuedAt; life <= 0 || life > longest {
		return refuse(ReasonLifetime, fmt.Errorf("lives %d ms instead of 1 to %d", life, longest))
	}
	return nil
}

// lifetimeOf is the longest that a token of a type may live.
func lifetimeOf(t Type) time.Duration {
	switch t {
	case TypeNext:
		return SuccessionLifetime
	case TypeSeal:
		return SealLifetime
	default:
		return Lifetime
	}
}

func (c *Claims) checkForms(t Type) error {
	if (t == TypeIdentity || t == TypeRequest) && !isThumbprint(c.RequestHash) {
		return errors.New("rh is not a base64url SHA-256")
	}
	if t == typeTagged && (len(c.BodyTag) != tagLength || !isBase64URL(c.BodyTag)) {
		return errors.New("bm is not a base64url tag of 16 bytes")
	}
	if c.Share != "" && !isThumbprint(c.Share) {
		return errors.New("x25519 is not a base64url key of 32 bytes")
	}
	if !t.isRequest() && !isThumbprint(c.Audience) {
		return errors.New("aud is not one thumbprint")
	}
	if len(c.Nonce) > maxNonce || !isBase64URL(c.Nonce) {
		return errors.New("nonce has not the form of one")
	}
	if (t == TypeIdentity || t == TypeNext || t == TypeSeal) && c.Session.Alg() != AlgEdDSA {
		return errors.New("cnf is not an Ed25519 key")
	}
	switch t {
	case TypeIdentity:
		if len(c.ID) != idLength || !isBase64URL(c.ID) {
			return fmt.Errorf("jti is not %d base64url characters", idLength)
		}
	case TypeRequest, typeTagged:
		if _, err := parseCounter(c.ID); err != nil {
			return err
		}
	case TypeHost:
		if !isThumbprint(c.SessionID) || !isThumbprint(c.OpenHash) {
			return errors.New("sid or oth is not a base64url SHA-256")
		}
	}
	return nil
}

var errCounter = errors.New("jti is not a decimal counter from 1")

// parseCounter reads a counter in its one form: no sign, no leading zeros.
func parseCounter(s string) (uint64, error) {
	if s == "" || s[0] == '0' || !isDigit(s[0]) {
		return 0, errCounter
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, errCounter
	}
	return n, nil
}
