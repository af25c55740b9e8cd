package e2e

import (
	"context"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"shellagent/jwtauth"
)

// request is one in the making: what a well-behaved client would send, until
// an attack changes it.
type request struct {
	method, target string
	headers        []string
	token          string
	body           []byte
}

func (r request) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: agent\r\n", r.method, r.target)
	if r.token != "" {
		fmt.Fprintf(&b, "Authorization: Bearer %s\r\n", r.token)
	}
	if r.method == "POST" {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(r.body))
	}
	for _, h := range r.headers {
		b.WriteString(h + "\r\n")
	}
	b.WriteString("\r\n")
	b.Write(r.body)
	return b.String()
}

func newKey(t *testing.T) *jwtauth.PrivateKey {
	t.Helper()
	k, err := jwtauth.GeneratePrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func loadKey(t *testing.T, path string) *jwtauth.PrivateKey {
	t.Helper()
	k, err := jwtauth.LoadPrivateKey(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// claims of a token, each with its JSON, in order: names may be doubled.
type claims []claim

type claim struct{ name, value string }

func (c claims) with(name, value string) claims {
	changed := append(claims(nil), c...)
	for i := range changed {
		if changed[i].name == name {
			changed[i].value = value
			return changed
		}
	}
	return append(changed, claim{name, value})
}

func (c claims) without(name string) claims {
	var left claims
	for _, one := range c {
		if one.name != name {
			left = append(left, one)
		}
	}
	return left
}

func (c claims) plus(name, value string) claims {
	return append(append(claims(nil), c...), claim{name, value})
}

func (c claims) String() string {
	parts := make([]string, len(c))
	for i, one := range c {
		parts[i] = strconv.Quote(one.name) + ":" + one.value
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func date(t time.Time) string { return jwtauth.NumericDateOf(t).String() }

// identity are the claims of a good identity token for a request.
func (a *attacker) identity(r request, session jwtauth.PublicKey) claims {
	now := time.Now()
	return claims{
		{"iat", date(now)}, {"exp", date(now.Add(jwtauth.Lifetime))},
		{"jti", strconv.Quote(jwtauth.NewID())},
		{"rh", strconv.Quote(jwtauth.RequestHash(r.method, r.target, r.body))},
		{"aud", strconv.Quote(a.aud)},
		{"cnf", `{"jwk":` + string(session.JWK()) + `}`},
	}
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func header(alg string, typ jwtauth.Type, kid string) string {
	return fmt.Sprintf(`{"alg":%q,"typ":%q,"kid":%q}`, alg, typ, kid)
}

// jws signs any header and any claims.
func jws(head, payload string, key *jwtauth.PrivateKey) string {
	input := encode([]byte(head)) + "." + encode([]byte(payload))
	sig, err := key.Sign(context.Background(), []byte(input))
	if err != nil {
		panic(err)
	}
	return input + "." + encode(sig)
}

// signed is a request with an identity token of these claims.
func signed(r request, c claims, key *jwtauth.PrivateKey) request {
	pub := key.PublicKey()
	r.token = jws(header(pub.Alg(), jwtauth.TypeIdentity, pub.Thumbprint()), c.String(), key)
	return r
}

// open is the request that opens a source, with a good token.
func (a *attacker) open(source string, key *jwtauth.PrivateKey, body string) request {
	return a.openAs(source, key, newKey(a.t), body)
}

func (a *attacker) openAs(source string, key, session *jwtauth.PrivateKey, body string) request {
	r := request{
		method: "POST", target: "/v1/shell/" + source, body: []byte(body),
		headers: []string{"Accept: application/vnd.shellagent.frames"},
	}
	return signed(r, a.identity(r, session.PublicKey()), key)
}

// list asks for the caller's sessions, which any listed key may.
func (a *attacker) list(key *jwtauth.PrivateKey) request {
	r := request{method: "GET", target: "/v1/sessions"}
	return signed(r, a.identity(r, newKey(a.t).PublicKey()), key)
}
