package jwtauth_test

import (
	"crypto/ecdh"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"shellagent/jwtauth"
)

// macVector is an agreement between the keys "session" and "host".
type macVector struct {
	ClientPrivate string         `json:"clientPrivate"`
	AgentPrivate  string         `json:"agentPrivate"`
	Client        string         `json:"client"` // x25519 claims
	Agent         string         `json:"agent"`
	Secret        string         `json:"secret"`
	Open          string         `json:"open"` // of alice's
	Answer        string         `json:"answer"`
	TokenKey      string         `json:"tokenKey"`
	BodyKey       string         `json:"bodyKey"`
	Requests      []taggedVector `json:"requests"`
	Refused       []taggedVector `json:"refused"` // with the reason
}

type taggedVector struct {
	Name    string `json:"name,omitempty"`
	Method  string `json:"method"`
	Target  string `json:"target"`
	Body    string `json:"body"` // standard base64
	Counter uint64 `json:"jti,string"`
	Tag     string `json:"bm,omitempty"`
	Token   string `json:"token"`
	Reason  string `json:"reason,omitempty"`
}

func vectorShare(t *testing.T, name string) *ecdh.PrivateKey {
	t.Helper()
	seed := sha256.Sum256([]byte("shellagent test vector x25519 " + name))
	share, err := ecdh.X25519().NewPrivateKey(seed[:])
	if err != nil {
		t.Fatal(err)
	}
	return share
}

// makeMAC lets client and agent agree, and has both reproduce all that follows.
func makeMAC(t *testing.T, v vectors, keys map[string]*jwtauth.PrivateKey) macVector {
	t.Helper()
	client, agent := vectorShare(t, "client"), vectorShare(t, "agent")
	secret, err := client.ECDH(agent.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	a := &agreed{key: keys["session"]}
	a.signer = jwtauth.NewRequestSigner(a.key)
	m := macVector{
		ClientPrivate: b64.EncodeToString(client.Bytes()), AgentPrivate: b64.EncodeToString(agent.Bytes()),
		Client: a.signer.OfferWith(client), Secret: b64.EncodeToString(secret),
	}
	session, host := a.key.PublicKey(), keys["host"]
	m.Open = mustSign(t, keys["alice"], jwtauth.TypeIdentity, jwtauth.Claims{
		IssuedAt: vectorClock, ID: "AAECAwQFBgcICQoLDA0ODw", RequestHash: v.RequestHashes[0].Hash,
		Audience: host.PublicKey().Thumbprint(), Session: session, Share: m.Client,
	})
	open := mustVerify(t, keys["alice"].PublicKey(), m.Open)
	if a.mac, m.Agent, err = jwtauth.AgreeMACWith(open, session.Thumbprint(), agent); err != nil {
		t.Fatal(err)
	}
	m.Answer = mustSign(t, host, jwtauth.TypeHost, jwtauth.Claims{
		IssuedAt: vectorClock, Audience: session.Thumbprint(), SessionID: session.Thumbprint(), OpenHash: open.Hash(), Share: m.Agent,
	})
	if err := a.signer.Agree(mustVerify(t, host.PublicKey(), m.Answer)); err != nil {
		t.Fatal(err)
	}
	m.TokenKey, m.BodyKey = b64.EncodeToString(a.mac.State().Token), b64.EncodeToString(a.mac.State().Body)
	m.Requests = makeTagged(t, v, a)
	m.Refused = makeTaggedRefused(t, a, m.Requests[0])
	return m
}

func makeTagged(t *testing.T, v vectors, a *agreed) (list []taggedVector) {
	t.Helper()
	big := base64.StdEncoding.EncodeToString(make([]byte, 1000))
	for _, r := range []taggedVector{
		{Method: "POST", Target: v.RequestHashes[3].Target, Body: v.RequestHashes[3].Body, Counter: 1},
		{Method: "POST", Target: v.RequestHashes[3].Target, Body: big, Counter: 2},
		{Method: "GET", Target: v.RequestHashes[2].Target, Counter: 1<<63 - 1},
	} {
		a.signer.SkipTo(r.Counter)
		r.Token, r.Tag = a.tagVector(t, r)
		if err := a.takeVector(r); err != nil {
			t.Error(err)
		}
		list = append(list, r)
	}
	return list
}

func (a *agreed) tagVector(t *testing.T, r taggedVector) (token, tag string) {
	t.Helper()
	body, err := base64.StdEncoding.DecodeString(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	token, err = a.signer.Sign(t.Context(), vectorClock, jwtauth.Request{Method: r.Method, Target: r.Target, Body: body}, "")
	if err != nil {
		t.Fatal(err)
	}
	claims := string(mustDecode(t, strings.Split(token, ".")[1]))
	_, tag, _ = strings.Cut(claims, `"bm":"`)
	return token, strings.TrimSuffix(tag, `"}`)
}

// takeVector is what an agent does that has not seen the counter yet.
func (a *agreed) takeVector(r taggedVector) error {
	body, err := base64.StdEncoding.DecodeString(r.Body)
	if err != nil {
		return err
	}
	fresh := &agreed{key: a.key, mac: a.mac}
	return fresh.take(r.Token, jwtauth.Request{Method: r.Method, Target: r.Target, Body: body})
}

func makeTaggedRefused(t *testing.T, a *agreed, good taggedVector) (list []taggedVector) {
	t.Helper()
	parts := strings.Split(good.Token, ".")
	head, claims := string(mustDecode(t, parts[0])), string(mustDecode(t, parts[1]))
	add := func(name, reason string, change func(*taggedVector)) {
		r := good
		r.Name, r.Reason, r.Tag = name, reason, ""
		change(&r)
		wantReason(t, a.takeVector(r), reason)
		list = append(list, r)
	}
	add("another body", jwtauth.ReasonRequestHash, func(r *taggedVector) { r.Body = "AP4=" })
	add("another target", jwtauth.ReasonRequestHash, func(r *taggedVector) { r.Target += "?" })
	add("another method", jwtauth.ReasonRequestHash, func(r *taggedVector) { r.Method = "PUT" })
	add("the tag of another counter", jwtauth.ReasonRequestHash, func(r *taggedVector) {
		r.Token, r.Counter = tagged(t, a, head, strings.Replace(claims, `"jti":"1"`, `"jti":"2"`, 1)), 2
	})
	add("rh in place of bm", jwtauth.ReasonClaims, func(r *taggedVector) {
		hash := jwtauth.RequestHash(r.Method, r.Target, []byte{0, 0xff})
		r.Token = tagged(t, a, head, strings.Replace(claims, `"bm":"`+good.Tag, `"rh":"`+hash, 1))
	})
	add("EdDSA with a bm", jwtauth.ReasonClaims, func(r *taggedVector) {
		r.Token = forge(t, a.key, strings.Replace(head, "HS256", "EdDSA", 1), claims)
	})
	add("HS256 with an Ed25519 signature", jwtauth.ReasonSignature, func(r *taggedVector) { r.Token = forge(t, a.key, head, claims) })
	add("HS256 for an identity", jwtauth.ReasonAlgorithm, func(r *taggedVector) {
		r.Token = tagged(t, a, strings.Replace(head, "req+jwt", "id+jwt", 1), claims)
	})
	add("the session key as the secret", jwtauth.ReasonSignature, func(r *taggedVector) {
		r.Token = hmacToken(t, head, claims, a.key.PublicKey().JWK())
	})
	return list
}

// FuzzTagged gives an agent tokens under its MAC: whatever is taken is what a
// signer writes, and no other body goes with it.
func FuzzTagged(f *testing.F) {
	a := agree(f)
	head := strings.Replace(headerOf(a.key, jwtauth.TypeRequest), "EdDSA", "HS256", 1)
	f.Add(`{"iat":1800000000.123,"exp":1800000005.123,"jti":"1","bm":"AAAAAAAAAAAAAAAAAAAAAA"}`, "POST", "/v1/sessions/x/stdin", []byte("x"))
	f.Add(`{"exp":2,"iat":1,"bm":"AAAAAAAAAAAAAAAAAAAAAA","x":[{}],"jti":"18446744073709551615","nonce":"x"}`, "GET", "/", []byte(nil))
	f.Add(`{"iat":1,"exp":2,"jti":"1","rh":"`+someHash+`"}`, "", "\n", []byte{0})
	f.Fuzz(func(t *testing.T, payload, method, target string, body []byte) {
		r := jwtauth.Request{Method: method, Target: target, Body: body}
		if len(payload) > 0 && len(payload) <= jwtauth.MaxPayload {
			a.window = jwtauth.Window{}
			var refused *jwtauth.Error
			if err := a.take(tagged(t, a, head, payload), r); !errors.As(err, &refused) {
				t.Errorf("a tag out of nowhere holds: %v", err)
			}
		}
		token, err := a.signer.Sign(t.Context(), macTime, r, "")
		if err != nil {
			if !strings.Contains(method+target, "\n") {
				t.Error(err)
			}
			return
		}
		a.window = jwtauth.Window{}
		if len(token) > jwtauth.MaxToken {
			t.Fatalf("the token has %d bytes", len(token))
		}
		if err := a.take(token, r); err != nil {
			t.Error(err)
		}
		a.window = jwtauth.Window{}
		r.Body = append(append([]byte(nil), body...), 0)
		wantReason(t, a.take(token, r), jwtauth.ReasonRequestHash)
	})
}
