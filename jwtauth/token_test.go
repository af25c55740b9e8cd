package jwtauth_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"shellagent/jwtauth"
)

var b64 = base64.RawURLEncoding

func TestIdentityTokenRoundTrip(t *testing.T) {
	for name, key := range keysOfEachKind(t) {
		t.Run(name, func(t *testing.T) {
			c := identityClaims(t, time.UnixMilli(1_800_000_000_123))
			c.Extra = map[string]any{"ticket": "OPS-7", "count": 3.0}
			token := mustSign(t, key, jwtauth.TypeIdentity, c)
			got := mustVerify(t, key.PublicKey(), token)
			if got.Type != jwtauth.TypeIdentity || got.Kid != key.PublicKey().Thumbprint() || got.Raw != token {
				t.Errorf("token is %+v", got)
			}
			if got.Claims.ID != c.ID || got.Claims.IssuedAt != c.IssuedAt ||
				got.Claims.Expires != c.IssuedAt+5000 || !got.Claims.Session.Equal(c.Session) {
				t.Errorf("claims are %+v", got.Claims)
			}
			want := map[string]any{
				"iat": 1_800_000_000.123, "exp": 1_800_000_005.123,
				"jti": c.ID, "rh": c.RequestHash, "aud": c.Audience,
				"cnf":    map[string]any{"jwk": jsonObject(t, c.Session.JWK())},
				"ticket": "OPS-7", "count": 3.0,
			}
			if !reflect.DeepEqual(got.Claims.Map, want) {
				t.Errorf("map is %v\nwant   %v", got.Claims.Map, want)
			}
		})
	}
}

func jsonObject(t *testing.T, data []byte) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// golang-jwt reads our tokens, so any JWT library can make and read them.
func TestForeignLibraryReadsTokens(t *testing.T) {
	for name, key := range keysOfEachKind(t) {
		t.Run(name, func(t *testing.T) {
			token := mustSign(t, key, jwtauth.TypeIdentity, identityClaims(t, time.Now()))
			parsed, err := jwt.Parse(token, func(*jwt.Token) (any, error) {
				return key.PublicKey().Crypto(), nil
			})
			if err != nil || !parsed.Valid {
				t.Fatalf("golang-jwt refuses the token: %v", err)
			}
		})
	}
}

func TestRequestAndHostTokens(t *testing.T) {
	key, client := newKey(t), newKey(t).PublicKey()
	request := mustVerify(t, key.PublicKey(), mustSign(t, key, jwtauth.TypeRequest, requestClaims(1<<40)))
	if request.Counter() != 1<<40 || request.Claims.Map != nil {
		t.Errorf("request token has counter %d, map %v", request.Counter(), request.Claims.Map)
	}
	host := mustVerify(t, key.PublicKey(), mustSign(t, key, jwtauth.TypeHost, jwtauth.Claims{
		IssuedAt: 1000, Audience: client.Thumbprint(), SessionID: client.Thumbprint(), OpenHash: request.Hash(),
	}))
	if host.Claims.OpenHash != jwtauth.TokenHash(request.Raw) || host.Claims.Map["sid"] != client.Thumbprint() {
		t.Errorf("host token is %+v", host.Claims)
	}
	if err := host.CheckAudience(client.Thumbprint()); err != nil {
		t.Error(err)
	}
	wantReason(t, host.CheckAudience(key.PublicKey().Thumbprint()), jwtauth.ReasonAudience)
	wantReason(t, request.CheckAudience(""), jwtauth.ReasonAudience)
}

func TestCheckRequest(t *testing.T) {
	key := newKey(t)
	body := []byte("x")
	token := mustVerify(t, key.PublicKey(), mustSign(t, key, jwtauth.TypeRequest, requestClaims(1)))
	if err := token.CheckRequest("POST", "/v1/sessions/x/stdin", body); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"method":     token.CheckRequest("PUT", "/v1/sessions/x/stdin", body),
		"target":     token.CheckRequest("POST", "/v1/sessions/y/stdin", body),
		"query":      token.CheckRequest("POST", "/v1/sessions/x/stdin?", body),
		"body":       token.CheckRequest("POST", "/v1/sessions/x/stdin", []byte("y")),
		"line break": token.CheckRequest("POST\n/v1", "sessions/x/stdin", body),
	} {
		t.Run(name, func(t *testing.T) { wantReason(t, err, jwtauth.ReasonRequestHash) })
	}
	if h := jwtauth.RequestHash("A\nB", "C", nil); h != "" {
		t.Errorf("a method with a line break hashes to %q", h)
	}
}

// forge signs whatever header and payload it is given.
func forge(t *testing.T, key *jwtauth.PrivateKey, header, payload string) string {
	t.Helper()
	input := b64.EncodeToString([]byte(header)) + "." + b64.EncodeToString([]byte(payload))
	sig, err := key.Sign(context.Background(), []byte(input))
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + b64.EncodeToString(sig)
}

func headerOf(key *jwtauth.PrivateKey, typ jwtauth.Type) string {
	return fmt.Sprintf(`{"alg":"%s","typ":"%s","kid":"%s"}`, key.PublicKey().Alg(), typ, key.PublicKey().Thumbprint())
}

func TestParseRefuses(t *testing.T) {
	key := newKey(t)
	kid := key.PublicKey().Thumbprint()
	good := mustSign(t, key, jwtauth.TypeRequest, requestClaims(1))
	parts := strings.Split(good, ".")
	with := func(header string) string {
		return b64.EncodeToString([]byte(header)) + "." + parts[1] + "." + parts[2]
	}
	cases := []struct{ name, token, reason string }{
		{"empty", "", jwtauth.ReasonMalformed},
		{"too long", good + strings.Repeat("A", jwtauth.MaxToken), jwtauth.ReasonMalformed},
		{"two parts", parts[0] + "." + parts[1], jwtauth.ReasonMalformed},
		{"four parts", good + ".AAAA", jwtauth.ReasonMalformed},
		{"no signature", parts[0] + "." + parts[1] + ".", jwtauth.ReasonMalformed},
		{"no claims", parts[0] + ".." + parts[2], jwtauth.ReasonMalformed},
		{"no header", "." + parts[1] + "." + parts[2], jwtauth.ReasonMalformed},
		{"padding", parts[0] + "." + parts[1] + "." + parts[2] + "=", jwtauth.ReasonMalformed},
		{"line break", parts[0] + "." + parts[1] + ".\n" + parts[2], jwtauth.ReasonMalformed},
		{"line break in header", "\n" + good, jwtauth.ReasonMalformed},
		{"standard base64", parts[0] + "." + parts[1] + ".+/+/", jwtauth.ReasonMalformed},
		{"stray header bits", parts[0][:len(parts[0])-1] + "9." + parts[1] + "." + parts[2], jwtauth.ReasonMalformed},
		{"unknown member", with(`{"alg":"EdDSA","typ":"shellagent-req+jwt","kid":"` + kid + `","jku":"https://x"}`), jwtauth.ReasonHeader},
		{"critical member", with(`{"alg":"EdDSA","typ":"shellagent-req+jwt","kid":"` + kid + `","crit":["b64"]}`), jwtauth.ReasonHeader},
		{"doubled member", with(`{"alg":"EdDSA","alg":"EdDSA","kid":"` + kid + `"}`), jwtauth.ReasonHeader},
		{"case variant", with(`{"Alg":"EdDSA","typ":"shellagent-req+jwt","kid":"` + kid + `"}`), jwtauth.ReasonHeader},
		{"missing kid", with(`{"alg":"EdDSA","typ":"shellagent-req+jwt"}`), jwtauth.ReasonHeader},
		{"escape", with(`{"\u0061lg":"EdDSA","typ":"shellagent-req+jwt","kid":"` + kid + `"}`), jwtauth.ReasonHeader},
		{"number", with(`{"alg":1,"typ":"shellagent-req+jwt","kid":"` + kid + `"}`), jwtauth.ReasonHeader},
		{"trailing text", with(headerOf(key, jwtauth.TypeRequest) + "x"), jwtauth.ReasonHeader},
		{"large header", with(headerOf(key, jwtauth.TypeRequest) + strings.Repeat(" ", 300)), jwtauth.ReasonHeader},
		{"kid is a path", with(`{"alg":"EdDSA","typ":"shellagent-req+jwt","kid":"../../../../../../../../../../../../etc/key"}`), jwtauth.ReasonHeader},
		{"short kid", with(`{"alg":"EdDSA","typ":"shellagent-req+jwt","kid":"x"}`), jwtauth.ReasonHeader},
		{"none", with(`{"alg":"none","typ":"shellagent-req+jwt","kid":"` + kid + `"}`), jwtauth.ReasonAlgorithm},
		{"HS256 for an identity", with(`{"alg":"HS256","typ":"shellagent-id+jwt","kid":"` + kid + `"}`), jwtauth.ReasonAlgorithm},
		{"HS256 for a host", with(`{"alg":"HS256","typ":"shellagent-host+jwt","kid":"` + kid + `"}`), jwtauth.ReasonAlgorithm},
		{"HS256 for a promise", with(`{"alg":"HS256","typ":"shellagent-next+jwt","kid":"` + kid + `"}`), jwtauth.ReasonAlgorithm},
		{"HS512", with(`{"alg":"HS512","typ":"shellagent-req+jwt","kid":"` + kid + `"}`), jwtauth.ReasonAlgorithm},
		{"RS1", with(`{"alg":"RS1","typ":"shellagent-req+jwt","kid":"` + kid + `"}`), jwtauth.ReasonAlgorithm},
		{"plain JWT", with(`{"alg":"EdDSA","typ":"JWT","kid":"` + kid + `"}`), jwtauth.ReasonType},
		{"type in capitals", with(`{"alg":"EdDSA","typ":"SHELLAGENT-REQ+JWT","kid":"` + kid + `"}`), jwtauth.ReasonType},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := jwtauth.Parse(c.token)
			wantReason(t, err, c.reason)
		})
	}
}

func TestHeaderMembersInAnyOrder(t *testing.T) {
	key := newKey(t)
	payload := `{"iat":1,"exp":2,"jti":"1","rh":"` + jwtauth.RequestHash("GET", "/", nil) + `"}`
	header := " {\n\"kid\" : \"" + key.PublicKey().Thumbprint() + "\" ,\"typ\":\"shellagent-req+jwt\",\t\"alg\":\"EdDSA\"} "
	if _, err := verify(key.PublicKey(), forge(t, key, header, payload)); err != nil {
		t.Fatal(err)
	}
}

func TestVerifyRefusesSignatures(t *testing.T) {
	keys := keysOfEachKind(t)
	key, other := keys["ed25519"], newKey(t)
	good := mustSign(t, key, jwtauth.TypeIdentity, identityClaims(t, time.Now()))
	payload := string(mustDecode(t, strings.Split(good, ".")[1]))

	t.Run("another key", func(t *testing.T) {
		_, err := verify(other.PublicKey(), good)
		wantReason(t, err, jwtauth.ReasonSignature)
	})
	t.Run("no key", func(t *testing.T) {
		_, err := verify(jwtauth.PublicKey{}, good)
		wantReason(t, err, jwtauth.ReasonAlgorithm)
	})
	t.Run("changed claims", func(t *testing.T) {
		parts := strings.Split(good, ".")
		parts[1] = b64.EncodeToString([]byte(strings.Replace(payload, `"jti":"`, `"jti":"A`, 1)))
		_, err := verify(key.PublicKey(), strings.Join(parts, "."))
		wantReason(t, err, jwtauth.ReasonSignature)
	})
	t.Run("changed type", func(t *testing.T) {
		parts := strings.Split(good, ".")
		parts[0] = b64.EncodeToString([]byte(headerOf(key, jwtauth.TypeHost)))
		_, err := verify(key.PublicKey(), strings.Join(parts, "."))
		wantReason(t, err, jwtauth.ReasonSignature)
	})
	t.Run("kid of another key", func(t *testing.T) {
		_, err := verify(key.PublicKey(), forge(t, key, headerOf(other, jwtauth.TypeIdentity), payload))
		wantReason(t, err, jwtauth.ReasonSignature)
	})
	t.Run("algorithm of another kind", func(t *testing.T) {
		header := strings.Replace(headerOf(key, jwtauth.TypeIdentity), "EdDSA", "RS256", 1)
		_, err := verify(key.PublicKey(), forge(t, key, header, payload))
		wantReason(t, err, jwtauth.ReasonAlgorithm)
	})
	t.Run("HMAC with the public key", func(t *testing.T) {
		input := b64.EncodeToString([]byte(headerOf(keys["rsa"], jwtauth.TypeIdentity))) + "." + b64.EncodeToString([]byte(payload))
		mac := hmac.New(sha256.New, keys["rsa"].PublicKey().JWK())
		mac.Write([]byte(input))
		_, err := verify(keys["rsa"].PublicKey(), input+"."+b64.EncodeToString(mac.Sum(nil)))
		wantReason(t, err, jwtauth.ReasonSignature)
	})
	t.Run("stray signature bits", func(t *testing.T) {
		last := good[len(good)-1]
		for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") {
			if c == last {
				continue
			}
			if _, err := verify(key.PublicKey(), good[:len(good)-1]+string(c)); err == nil {
				t.Fatalf("the last character %q verifies as well as %q", c, last)
			}
		}
	})
	t.Run("signature of any length", func(t *testing.T) {
		input := good[:strings.LastIndexByte(good, '.')]
		for n := 1; n < 1500; n += 31 {
			_, err := verify(key.PublicKey(), input+"."+b64.EncodeToString(make([]byte, n)))
			wantReason(t, err, jwtauth.ReasonSignature)
		}
	})
	t.Run("zero value", func(t *testing.T) {
		_, err := jwtauth.Unverified{}.Verify(jwtauth.PublicKey{})
		wantReason(t, err, jwtauth.ReasonMalformed)
		jwtauth.VerifyDummy(jwtauth.Unverified{})
	})
}

func mustDecode(t *testing.T, s string) []byte {
	t.Helper()
	b, err := b64.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
