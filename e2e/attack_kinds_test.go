package e2e

import (
	"fmt"
	"strings"

	"shellagent/jwtauth"
)

// attack provokes one refusal and returns how the client was told.
type attack func(*victim) answer

// text sends the attack as written.
func text(format string, args ...any) attack {
	return func(a *victim) answer { return a.raw(fmt.Sprintf(format, args...)) }
}

// changed sends a good request of alice's for her sessions with one change.
func changed(change func(request) request) attack {
	return func(a *victim) answer { return a.raw(change(a.list(a.alice)).String()) }
}

// claimed sends alice's request with other claims.
func claimed(change func(claims) claims) attack {
	return func(a *victim) answer {
		r := request{method: "GET", target: "/v1/sessions"}
		return a.raw(signed(r, change(a.identity(r, newKey(a.t).PublicKey())), a.alice).String())
	}
}

// headed sends alice's request with another header.
func headed(head func(kid string) string) attack {
	return func(a *victim) answer {
		r := request{method: "GET", target: "/v1/sessions"}
		r.token = jws(head(a.alice.PublicKey().Thumbprint()), a.identity(r, newKey(a.t).PublicKey()).String(), a.alice)
		return a.raw(r.String())
	}
}

// opened opens a source.
func opened(source string, key func(*victim) *jwtauth.PrivateKey, body string) attack {
	return func(a *victim) answer {
		s, got := a.start(source, key(a), body)
		s.close()
		return got
	}
}

func alice(a *victim) *jwtauth.PrivateKey { return a.alice }

// within attacks from inside a live session of alice's.
func within(do func(a *victim, s *session) answer) attack {
	return func(a *victim) answer {
		s, got := a.start("debug", a.alice, `{"argv":["cat"]}`)
		defer s.close()
		if got.status != 200 {
			return answer{err: fmt.Errorf("no session to attack: %v", got)}
		}
		return do(a, s)
	}
}

func good(kid string) string { return header("EdDSA", jwtauth.TypeIdentity, kid) }

func withMember(object, member string) string {
	return strings.TrimSuffix(object, "}") + "," + member + "}"
}

func cutSignature(token string) string { return token[:strings.LastIndexByte(token, '.')+1] }

// lastBitSet encodes the same signature in another way, which a decoder that is
// not strict would take.
func lastBitSet(token string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, token[len(token)-1])
	return token[:len(token)-1] + string(alphabet[last|1])
}
