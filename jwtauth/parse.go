package jwtauth

import (
	"errors"
	"fmt"
	"strings"
)

// MaxToken bounds a token in its compact form, in bytes.
const MaxToken = 8 << 10

// Type is the typ of a token (RFC 8725 §3.11): what it may be used for.
type Type string

// The types. A token of one never stands in for another.
const (
	// TypeIdentity is signed by the key a person guards; it names a session key.
	TypeIdentity Type = "shellagent-id+jwt"
	// TypeRequest is signed by a session key, or under a [MAC] that was agreed
	// for it; its jti is a counter.
	TypeRequest Type = "shellagent-req+jwt"
	// TypeHost is signed by an agent's host key, for one client.
	TypeHost Type = "shellagent-host+jwt"
	// TypeNext says which host key comes next: see [Succession].
	TypeNext Type = "shellagent-next+jwt"
	// TypeSeal says which key seals an agent's records: see [CertifySeal].
	TypeSeal Type = "shellagent-seal+jwt"
)

// typeTagged is a TypeRequest under a MAC, whose claims are others. It is never
// a token's typ.
const typeTagged = TypeRequest + ", HS256"

func (t Type) isRequest() bool { return t == TypeRequest || t == typeTagged }

const (
	thumbprintLength = 43 // base64url of 32 bytes
	idLength         = 22 // base64url of 16 bytes
	tagLength        = 22
)

// Unverified is a token whose signature was not checked: what its header says
// may be used to find a key, and for nothing else.
type Unverified struct {
	Type Type
	// Alg is one of the four algorithms; AlgHS256 with TypeRequest alone.
	Alg string
	// Kid has the form of a thumbprint.
	Kid string

	raw      string
	payload  int // where the second and the third part begin
	sigStart int
}

// Parse bounds a token, splits it and reads its header. It parses no JSON and
// does work in proportion to the length alone. Errors are *[Error].
func Parse(token string) (Unverified, error) {
	u, err := split(token)
	if err != nil {
		return Unverified{}, err
	}
	var buf [maxHeader]byte
	encoded := token[:u.payload-1]
	if len(encoded) > strictURL.EncodedLen(maxHeader) {
		return Unverified{}, refuse(ReasonHeader, errHeader)
	}
	decoded, err := appendStrict(buf[:0], encoded)
	if err != nil {
		return Unverified{}, refuse(ReasonMalformed, fmt.Errorf("header: %w", err))
	}
	h, err := scanHeader(decoded)
	if err != nil {
		return Unverified{}, refuse(ReasonHeader, err)
	}
	if err := u.setHeader(h); err != nil {
		return Unverified{}, err
	}
	return u, nil
}

func split(token string) (Unverified, error) {
	if len(token) > MaxToken {
		return Unverified{}, refuse(ReasonMalformed, fmt.Errorf("longer than %d bytes", MaxToken))
	}
	first := strings.IndexByte(token, '.')
	last := strings.LastIndexByte(token, '.')
	if first <= 0 || last == first || last == first+1 || last == len(token)-1 ||
		strings.IndexByte(token[first+1:last], '.') >= 0 {
		return Unverified{}, refuse(ReasonMalformed, errors.New("not three parts"))
	}
	if !isBase64URL(token[first+1:last]) || !isBase64URL(token[last+1:]) {
		return Unverified{}, refuse(ReasonMalformed, errBase64URL)
	}
	return Unverified{raw: token, payload: first + 1, sigStart: last + 1}, nil
}

func (u *Unverified) setHeader(h header) error {
	switch string(h.alg) {
	case AlgEdDSA:
		u.Alg = AlgEdDSA
	case AlgES256:
		u.Alg = AlgES256
	case AlgRS256:
		u.Alg = AlgRS256
	case AlgHS256:
		if Type(h.typ) != TypeRequest {
			return refuse(ReasonAlgorithm, fmt.Errorf("algorithm %q is for requests alone", AlgHS256))
		}
		u.Alg = AlgHS256
	default:
		return refuse(ReasonAlgorithm, fmt.Errorf("algorithm %q", string(h.alg)))
	}
	switch Type(h.typ) {
	case TypeIdentity:
		u.Type = TypeIdentity
	case TypeRequest:
		u.Type = TypeRequest
	case TypeHost:
		u.Type = TypeHost
	case TypeNext:
		u.Type = TypeNext
	case TypeSeal:
		u.Type = TypeSeal
	default:
		return refuse(ReasonType, fmt.Errorf("type %q", string(h.typ)))
	}
	u.Kid = string(h.kid)
	if !isThumbprint(u.Kid) {
		return refuse(ReasonHeader, errors.New("kid is not a thumbprint"))
	}
	return nil
}

func isThumbprint(s string) bool { return len(s) == thumbprintLength && isBase64URL(s) }
