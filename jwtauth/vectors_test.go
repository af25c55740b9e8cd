package jwtauth_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"

	"shellagent/jwtauth"
)

// testdata/vectors.json lets another implementation check itself without us:
// keys in every form, dates, request hashes, tokens of every type and tokens
// that must be refused, all with one clock. This test makes every value anew
// and compares; only ES256 signatures, which are random, are kept and
// verified. After a change that is meant: go test -run TestVectors -update.

var update = flag.Bool("update", false, "write testdata/vectors.json anew")

const vectorsFile = "testdata/vectors.json"

type vectors struct {
	About         []string        `json:"about"`
	ClockMs       int64           `json:"clockMs"`
	Keys          []keyVector     `json:"keys"`
	Dates         []dateVector    `json:"dates"`
	RequestHashes []requestVector `json:"requestHashes"`
	Tokens        []tokenVector   `json:"tokens"`
	Refused       []refusedVector `json:"refused"`
}

type keyVector struct {
	Name               string `json:"name"`
	Alg                string `json:"alg"`
	PKCS8              string `json:"pkcs8"` // standard base64
	JWK                string `json:"jwk"`
	Thumbprint         string `json:"thumbprint"`
	OpenSSH            string `json:"openssh"`
	OpenSSHFingerprint string `json:"opensshFingerprint"`
	EtchaPublic        string `json:"etchaPublic,omitempty"`
	EtchaPrivate       string `json:"etchaPrivate,omitempty"`
}

type dateVector struct {
	JSON string `json:"json"`
	Ms   int64  `json:"ms"`
}

type requestVector struct {
	Method string `json:"method"`
	Target string `json:"target"`
	Body   string `json:"body"` // standard base64
	Hash   string `json:"rh"`
}

type tokenVector struct {
	Name   string       `json:"name"`
	Key    string       `json:"key"`
	Type   jwtauth.Type `json:"typ"`
	Header string       `json:"header"`
	Claims string       `json:"claims"`
	Token  string       `json:"token"`
	Hash   string       `json:"sha256"`
}

type refusedVector struct {
	Name   string `json:"name"`
	Key    string `json:"key"`
	Token  string `json:"token"`
	Reason string `json:"reason"`
}

var vectorsAbout = []string{
	"Test vectors of Shell Agent's tokens. The keys are public: never use them.",
	"A token is checked at clockMs with the key that is named. EdDSA and RS256 signatures are reproducible, ES256 ones are examples.",
	"sha256 is base64url of the compact token's hash (claim oth of the host token that answers it).",
	"Refused tokens are refused whatever the clock says; reason is the exact one, which goes to the log.",
}

const vectorClock = 1_800_000_000_123

func TestVectors(t *testing.T) {
	stored := readVectors(t)
	made := makeVectors(t, stored)
	out := new(bytes.Buffer)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(made); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(vectorsFile, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(vectorsFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), want) {
		t.Errorf("the vectors changed; now they are\n%s", out)
	}
}

func readVectors(t *testing.T) vectors {
	t.Helper()
	var v vectors
	data, err := os.ReadFile(vectorsFile)
	if err != nil && *update {
		return v
	}
	if err == nil {
		err = json.Unmarshal(data, &v)
	}
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func makeVectors(t *testing.T, stored vectors) vectors {
	v := vectors{About: vectorsAbout, ClockMs: vectorClock}
	keys := map[string]*jwtauth.PrivateKey{}
	for _, name := range []string{"alice", "session", "host", "alice-ecdsa", "alice-rsa"} {
		keys[name] = vectorKey(t, name, stored)
		v.Keys = append(v.Keys, describeKey(t, name, keys[name]))
	}
	for _, ms := range []jwtauth.NumericDate{0, 1, 10, 100, 1000, 1500, vectorClock, 253402300799999} {
		v.Dates = append(v.Dates, dateVector{ms.String(), int64(ms)})
	}
	for _, r := range []requestVector{
		{Method: "POST", Target: "/v1/shell/debug", Body: `{"command":"id"}`},
		{Method: "GET", Target: "/v1/sessions"},
		{Method: "GET", Target: "/v1/sessions/" + keys["session"].PublicKey().Thumbprint() + "/stream?from=0"},
		{Method: "POST", Target: "/v1/sessions/" + keys["session"].PublicKey().Thumbprint() + "/stdin", Body: "\x00\xff"},
	} {
		r.Hash = jwtauth.RequestHash(r.Method, r.Target, []byte(r.Body))
		r.Body = base64.StdEncoding.EncodeToString([]byte(r.Body))
		v.RequestHashes = append(v.RequestHashes, r)
	}
	v.Tokens = makeTokens(t, v, keys, stored)
	v.Refused = makeRefused(t, v.Tokens, keys)
	return v
}

// vectorKey derives the keys from their names; an RSA key cannot be, so it is
// kept.
func vectorKey(t *testing.T, name string, stored vectors) *jwtauth.PrivateKey {
	t.Helper()
	seed := sha256.Sum256([]byte("shellagent test vector " + name))
	var key crypto.Signer
	var err error
	switch name {
	case "alice-ecdsa":
		key, err = ecdsa.ParseRawPrivateKey(elliptic.P256(), seed[:])
	case "alice-rsa":
		key = storedKey(t, name, stored)
		if key == nil {
			key, err = rsa.GenerateKey(rand.Reader, 3072)
		}
	default:
		key = ed25519.NewKeyFromSeed(seed[:])
	}
	if err != nil {
		t.Fatal(err)
	}
	private, err := jwtauth.NewPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return private
}

func storedKey(t *testing.T, name string, stored vectors) crypto.Signer {
	t.Helper()
	for _, k := range stored.Keys {
		if k.Name != name {
			continue
		}
		der, err := base64.StdEncoding.DecodeString(k.PKCS8)
		if err != nil {
			t.Fatal(err)
		}
		key, err := x509.ParsePKCS8PrivateKey(der)
		if err != nil {
			t.Fatal(err)
		}
		return key.(crypto.Signer)
	}
	return nil
}

func describeKey(t *testing.T, name string, key *jwtauth.PrivateKey) keyVector {
	t.Helper()
	private, err := x509.MarshalPKCS8PrivateKey(key.Crypto())
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.PublicKey().Crypto())
	if err != nil {
		t.Fatal(err)
	}
	k := key.PublicKey()
	v := keyVector{
		Name: name, Alg: k.Alg(), PKCS8: base64.StdEncoding.EncodeToString(private),
		JWK: string(k.JWK()), Thumbprint: k.Thumbprint(),
		OpenSSH: k.AuthorizedKey(name), OpenSSHFingerprint: k.OpenSSHFingerprint(),
	}
	if k.Alg() == jwtauth.AlgEdDSA {
		v.EtchaPublic = "ed25519public:" + base64.StdEncoding.EncodeToString(public) + ":" + name
		v.EtchaPrivate = "ed25519private:" + v.PKCS8 + ":" + name
	}
	for _, line := range []string{v.OpenSSH, v.EtchaPublic} {
		if line == "" {
			continue
		}
		parsed, label, err := jwtauth.ParsePublicKey(line)
		if err != nil || !parsed.Equal(k) || label != name {
			t.Errorf("%s does not read back: %v", line, err)
		}
	}
	return v
}

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
	claims("private session key", `"kty":"OKP"`, `"d":"AAAA","kty":"OKP"`, jwtauth.ReasonClaims)
	return list
}
