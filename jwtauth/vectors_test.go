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
	MAC           macVector       `json:"mac"`
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
	"mac is one agreement: identity and host token with their shares, what follows from them, and requests under it. Its shares and keys are base64url.",
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
	for _, name := range []string{"alice", "session", "host", "alice-ecdsa", "alice-rsa", "next-host"} {
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
	v.MAC = makeMAC(t, v, keys)
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
