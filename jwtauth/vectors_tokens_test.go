package jwtauth_test

import (
	"strings"
	"testing"

	"shellagent/jwtauth"
)

func makeTokens(t *testing.T, v vectors, keys map[string]*jwtauth.PrivateKey, stored vectors) []tokenVector {
	t.Helper()
	session := keys["session"].PublicKey()
	identity := jwtauth.Claims{
		IssuedAt: vectorClock, ID: "AAECAwQFBgcICQoLDA0ODw", RequestHash: v.RequestHashes[0].Hash,
		Audience: keys["host"].PublicKey().Thumbprint(), Session: session,
	}
	withNonce := identity
	withNonce.IssuedAt -= 86_400_000
	withNonce.Nonce = "AAAAAAAAA-gAAQIDBAUGBwABAgMEBQYHCAkKCwwNDg8"
	labelled := identity
	labelled.Extra = map[string]any{"ticket": "OPS-7", "team": []any{"ops"}}
	request := jwtauth.Claims{IssuedAt: vectorClock, Expires: vectorClock + 1000, ID: "1", RequestHash: v.RequestHashes[2].Hash}
	stdin := jwtauth.Claims{IssuedAt: vectorClock, ID: "18446744073709551615", RequestHash: v.RequestHashes[3].Hash}

	var list []tokenVector
	add := func(name, key string, typ jwtauth.Type, c jwtauth.Claims) {
		list = append(list, makeToken(t, tokenVector{Name: name, Key: key, Type: typ}, keys[key], c, stored))
	}
	add("open", "alice", jwtauth.TypeIdentity, identity)
	add("open with a nonce and a clock that is a day behind", "alice", jwtauth.TypeIdentity, withNonce)
	add("open with labels", "alice", jwtauth.TypeIdentity, labelled)
	add("open, ES256", "alice-ecdsa", jwtauth.TypeIdentity, identity)
	add("open, RS256", "alice-rsa", jwtauth.TypeIdentity, identity)
	add("stream, first request of a session, lives one second", "session", jwtauth.TypeRequest, request)
	add("stdin, last counter there is", "session", jwtauth.TypeRequest, stdin)
	add("answer to the open", "host", jwtauth.TypeHost, jwtauth.Claims{
		IssuedAt: vectorClock, Audience: session.Thumbprint(), SessionID: session.Thumbprint(), OpenHash: list[0].Hash,
	})
	next := jwtauth.Claims{
		IssuedAt: vectorClock, Expires: vectorClock + 86_400_000,
		Audience: keys["host"].PublicKey().Thumbprint(), Session: keys["next-host"].PublicKey(),
	}
	add("the next host key, promised by the present one", "host", jwtauth.TypeNext, next)
	add("the next host key's consent", "next-host", jwtauth.TypeNext, next)
	return list
}

func makeToken(t *testing.T, v tokenVector, key *jwtauth.PrivateKey, c jwtauth.Claims, stored vectors) tokenVector {
	t.Helper()
	v.Token = mustSign(t, key, v.Type, c)
	if key.PublicKey().Alg() == jwtauth.AlgES256 {
		for _, old := range stored.Tokens {
			if old.Name == v.Name && signingInput(old.Token) == signingInput(v.Token) {
				v.Token = old.Token
			}
		}
	}
	tok := mustVerify(t, key.PublicKey(), v.Token)
	parts := strings.Split(v.Token, ".")
	v.Header, v.Claims, v.Hash = string(mustDecode(t, parts[0])), string(mustDecode(t, parts[1])), tok.Hash()
	return v
}

func signingInput(token string) string { return token[:strings.LastIndexByte(token, '.')] }

func makeRefused(t *testing.T, tokens []tokenVector, keys map[string]*jwtauth.PrivateKey) []refusedVector {
	t.Helper()
	var list []refusedVector
	add := func(name, key, token, reason string) {
		_, err := verify(keys[key].PublicKey(), token)
		wantReason(t, err, reason)
		list = append(list, refusedVector{name, key, token, reason})
	}
	open, alice := tokens[0], keys["alice"]
	claims := func(name, from, to, reason string) {
		if !strings.Contains(open.Claims, from) {
			t.Fatalf("%s: no %s in %s", name, from, open.Claims)
		}
		add(name, "alice", forge(t, alice, open.Header, strings.Replace(open.Claims, from, to, 1)), reason)
	}
	header := func(name, from, to, reason string) {
		if !strings.Contains(open.Header, from) {
			t.Fatalf("%s: no %s in %s", name, from, open.Header)
		}
		add(name, "alice", forge(t, alice, strings.Replace(open.Header, from, to, 1), open.Claims), reason)
	}
	add("another key's signature", "session", open.Token, jwtauth.ReasonSignature)
	add("padding", "alice", open.Token+"==", jwtauth.ReasonMalformed)
	add("line break", "alice", open.Token[:50]+"\n"+open.Token[50:], jwtauth.ReasonMalformed)
	header("no algorithm", `"EdDSA"`, `"none"`, jwtauth.ReasonAlgorithm)
	header("another algorithm than the key's", `"EdDSA"`, `"RS256"`, jwtauth.ReasonAlgorithm)
	header("type of any JWT", `"shellagent-id+jwt"`, `"JWT"`, jwtauth.ReasonType)
	header("unknown member", `{`, `{"crit":[],`, jwtauth.ReasonHeader)
	header("doubled member", `{`, `{"alg":"none",`, jwtauth.ReasonHeader)
	header("an identity token's claims as a request", `"shellagent-id+jwt"`, `"shellagent-req+jwt"`, jwtauth.ReasonClaims)
	claims("doubled claim", `{`, `{"aud":"x",`, jwtauth.ReasonClaims)
	claims("case variant", `"aud"`, `"Aud"`, jwtauth.ReasonClaims)
	claims("case variant beside the claim", `{`, `{"EXP":1,`, jwtauth.ReasonClaims)
	claims("nbf", `{`, `{"nbf":1800000000,`, jwtauth.ReasonClaims)
	claims("lives 5001 ms", `"exp":1800000005.123`, `"exp":1800000005.124`, jwtauth.ReasonLifetime)
	claims("date with four decimals", `1800000005.123`, `1800000005.1230`, jwtauth.ReasonClaims)
	claims("date with an exponent", `1800000005.123`, `1.800000005123e9`, jwtauth.ReasonClaims)
	claims("audience in an array", `"`+keys["host"].PublicKey().Thumbprint()+`"`, `["`+keys["host"].PublicKey().Thumbprint()+`"]`, jwtauth.ReasonClaims)
	promise := tokens[len(tokens)-2]
	add("a promise of 24 hours and a millisecond", "host", forge(t, keys["host"], promise.Header,
		strings.Replace(promise.Claims, `"exp":1800086400.123`, `"exp":1800086400.124`, 1)), jwtauth.ReasonLifetime)
	add("a host token's claims as a promise", "host", forge(t, keys["host"],
		strings.Replace(tokens[7].Header, "host+jwt", "next+jwt", 1), tokens[7].Claims), jwtauth.ReasonClaims)
	claims("private session key", `"kty":"OKP"`, `"d":"AAAA","kty":"OKP"`, jwtauth.ReasonClaims)
	return list
}
