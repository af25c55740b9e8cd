package jwtauth_test

import (
	"context"
	"crypto/ecdh"
	"encoding/hex"
	"errors"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"shellagent/jwtauth"
)

// agreed is a client and its agent after the session event.
type agreed struct {
	key    *jwtauth.PrivateKey
	signer *jwtauth.RequestSigner
	mac    *jwtauth.MAC
	window jwtauth.Window
}

const macTime = 1_800_000_000_123

// agree runs the agreement of a session that a fresh key opens.
func agree(t testing.TB) *agreed {
	t.Helper()
	a := &agreed{key: newKey(t)}
	a.signer = jwtauth.NewRequestSigner(a.key)
	guarded, host := newKey(t), newKey(t)
	share, err := a.signer.Offer()
	if err != nil {
		t.Fatal(err)
	}
	c := identityClaims(t, time.UnixMilli(macTime))
	c.Session, c.Share = a.key.PublicKey(), share
	open := mustVerify(t, guarded.PublicKey(), mustSign(t, guarded, jwtauth.TypeIdentity, c))
	kid := a.key.PublicKey().Thumbprint()
	var answer string
	if a.mac, answer, err = jwtauth.AgreeMAC(open, kid); err != nil {
		t.Fatal(err)
	}
	token := mustVerify(t, host.PublicKey(), mustSign(t, host, jwtauth.TypeHost, jwtauth.Claims{
		IssuedAt: macTime, Audience: kid, SessionID: kid, OpenHash: open.Hash(), Share: answer,
	}))
	if err := a.signer.Agree(token); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *agreed) sign(t testing.TB, r jwtauth.Request) string {
	t.Helper()
	token, err := a.signer.Sign(context.Background(), macTime, r, "")
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// take does what an agent does with a request.
func (a *agreed) take(token string, r jwtauth.Request) error {
	u, err := jwtauth.Parse(token)
	if err != nil {
		return err
	}
	var tok *jwtauth.Token
	if u.Alg == jwtauth.AlgHS256 {
		tok, err = a.mac.Verify(u)
	} else {
		tok, err = u.Verify(a.key.PublicKey())
	}
	if err != nil {
		return err
	}
	if err := a.window.Take(tok); err != nil {
		return err
	}
	return tok.CheckRequest(r.Method, r.Target, r.Body)
}

var typed = jwtauth.Request{Method: "POST", Target: "/v1/sessions/x/stdin", Body: []byte("what was typed")}

func TestMACRoundTrip(t *testing.T) {
	a := agree(t)
	for _, r := range []jwtauth.Request{
		typed, {Method: "GET", Target: "/v1/sessions/x/stream?from=0"},
		{Method: "POST", Target: strings.Repeat("/long", 400), Body: make([]byte, 1<<20)},
	} {
		token := a.sign(t, r)
		if u, err := jwtauth.Parse(token); err != nil || u.Alg != jwtauth.AlgHS256 || u.Kid != a.key.PublicKey().Thumbprint() {
			t.Fatalf("the token is %+v, %v", u, err)
		}
		if err := a.take(token, r); err != nil {
			t.Error(err)
		}
	}
	nonce := strings.Repeat("n", 43)
	token, err := a.signer.Sign(t.Context(), macTime, typed, nonce)
	if err != nil {
		t.Fatal(err)
	}
	u, _ := jwtauth.Parse(token)
	if tok, err := a.mac.Verify(u); err != nil || tok.Claims.Nonce != nonce || !tok.Tagged() || tok.Counter() != 4 || tok.Claims.Map != nil {
		t.Errorf("%+v, %v", tok, err)
	}
}

func TestMACBindsTheRequest(t *testing.T) {
	a := agree(t)
	altered := append([]byte(nil), typed.Body...)
	altered[0] ^= 1
	for name, r := range map[string]jwtauth.Request{
		"method":          {Method: "PUT", Target: typed.Target, Body: typed.Body},
		"target":          {Method: "POST", Target: "/v1/sessions/y/stdin", Body: typed.Body},
		"query":           {Method: "POST", Target: typed.Target + "?", Body: typed.Body},
		"a bit":           {Method: "POST", Target: typed.Target, Body: altered},
		"a byte more":     {Method: "POST", Target: typed.Target, Body: append(altered[:0:0], append(typed.Body, 0)...)},
		"no body":         {Method: "POST", Target: typed.Target},
		"across":          {Method: "POST", Target: "/v1/sessions/x/stdi", Body: append([]byte("n"), typed.Body...)},
		"a line break":    {Method: "POST\n/v1", Target: "sessions/x/stdin", Body: typed.Body},
		"in the target":   {Method: "POST", Target: "/v1\n", Body: typed.Body},
		"all of it empty": {},
	} {
		t.Run(name, func(t *testing.T) { wantReason(t, a.take(a.sign(t, typed), r), jwtauth.ReasonRequestHash) })
	}
	if _, err := a.signer.Sign(t.Context(), macTime, jwtauth.Request{Method: "A\nB", Target: "C"}, ""); err == nil {
		t.Error("a method with a line break was signed")
	}
}

// A tag is compared once for a counter, whatever the outcome: who may try bodies
// under one token learns nothing more by the second.
func TestMACTagIsComparedOnce(t *testing.T) {
	a := agree(t)
	token := a.sign(t, typed)
	u, err := jwtauth.Parse(token)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := a.mac.Verify(u)
	if err != nil {
		t.Fatal(err)
	}
	wantReason(t, tok.CheckRequest(typed.Method, typed.Target, typed.Body), jwtauth.ReasonCounter)
	if err := a.window.Take(tok); err != nil {
		t.Fatal(err)
	}
	wantReason(t, tok.CheckRequest(typed.Method, typed.Target, []byte("other")), jwtauth.ReasonRequestHash)
	wantReason(t, tok.CheckRequest(typed.Method, typed.Target, typed.Body), jwtauth.ReasonCounter)
	wantReason(t, a.take(token, typed), jwtauth.ReasonCounter)
}

func TestMACRefusesTokens(t *testing.T) {
	a, other := agree(t), agree(t)
	good := a.sign(t, typed)
	parse := func(token string) jwtauth.Unverified {
		u, err := jwtauth.Parse(token)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	parts := strings.Split(good, ".")
	payload := string(mustDecode(t, parts[1]))
	edit := func(from, to string) string {
		if !strings.Contains(payload, from) {
			t.Fatalf("no %s in %s", from, payload)
		}
		return parts[0] + "." + b64.EncodeToString([]byte(strings.Replace(payload, from, to, 1))) + "." + parts[2]
	}
	eddsa := mustSign(t, a.key, jwtauth.TypeRequest, requestClaims(9))
	asHS256 := b64.EncodeToString([]byte(strings.Replace(headerOf(a.key, jwtauth.TypeRequest), "EdDSA", "HS256", 1)))
	cases := []struct {
		name   string
		mac    *jwtauth.MAC
		token  string
		reason string
	}{
		{"another session's", other.mac, good, jwtauth.ReasonSignature},
		{"none agreed", nil, good, jwtauth.ReasonAlgorithm},
		{"a signature", a.mac, eddsa, jwtauth.ReasonAlgorithm},
		{"a signature that says HS256", a.mac, asHS256 + eddsa[strings.IndexByte(eddsa, '.'):], jwtauth.ReasonSignature},
		{"another counter", a.mac, edit(`"jti":"1"`, `"jti":"2"`), jwtauth.ReasonSignature},
		{"a later end", a.mac, edit(`"exp":1800000005`, `"exp":1800000006`), jwtauth.ReasonSignature},
		{"cut short", a.mac, good[:len(good)-4], jwtauth.ReasonSignature},
		{"longer", a.mac, good + "AAAA", jwtauth.ReasonSignature},
		{"stray bits", a.mac, good[:len(good)-1] + string(good[len(good)-1]+1), jwtauth.ReasonMalformed},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := c.mac.Verify(parse(c.token))
			var refused *jwtauth.Error
			if errors.As(err, &refused) && c.name == "stray bits" && refused.Reason == jwtauth.ReasonSignature {
				return // it happened to be another signature
			}
			wantReason(t, err, c.reason)
		})
	}
	_, err := parse(good).Verify(a.key.PublicKey())
	wantReason(t, err, jwtauth.ReasonAlgorithm)
	_, err = (*jwtauth.MAC)(nil).Verify(jwtauth.Unverified{})
	wantReason(t, err, jwtauth.ReasonAlgorithm)
	jwtauth.VerifyDummy(parse(good))
}

// tagged signs whatever it is given under a MAC's token key, as somebody with the
// key would.
func tagged(t testing.TB, a *agreed, header, payload string) string {
	t.Helper()
	return hmacToken(t, header, payload, a.mac.State().Token)
}

func hmacToken(t testing.TB, header, payload string, key []byte) string {
	t.Helper()
	input := b64.EncodeToString([]byte(header)) + "." + b64.EncodeToString([]byte(payload))
	sum, err := jwt.SigningMethodHS256.Sign(input, key)
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + b64.EncodeToString(sum)
}

func TestMACClaims(t *testing.T) {
	a := agree(t)
	header := strings.Replace(headerOf(a.key, jwtauth.TypeRequest), "EdDSA", "HS256", 1)
	const dates = `{"iat":1,"exp":2,"jti":"1"`
	const bm = `,"bm":"AAAAAAAAAAAAAAAAAAAAAA"`
	rh := `,"rh":"` + jwtauth.RequestHash("GET", "/", nil) + `"`
	for name, c := range map[string]struct{ payload, reason string }{
		"rh in place of bm": {dates + rh + "}", jwtauth.ReasonClaims},
		"both":              {dates + rh + bm + "}", jwtauth.ReasonClaims},
		"neither":           {dates + "}", jwtauth.ReasonClaims},
		"bm twice":          {dates + bm + bm + "}", jwtauth.ReasonClaims},
		"BM too":            {dates + bm + `,"BM":"x"}`, jwtauth.ReasonClaims},
		"a short bm":        {dates + `,"bm":"AAAAAAAAAAAAAAAAAAAAA"}`, jwtauth.ReasonClaims},
		"aud":               {dates + bm + `,"aud":"` + someHash + `"}`, jwtauth.ReasonClaims},
		"x25519":            {dates + bm + `,"x25519":"` + someHash + `"}`, jwtauth.ReasonClaims},
		"a long life":       {`{"iat":1,"exp":7,"jti":"1"` + bm + "}", jwtauth.ReasonLifetime},
		"counter 0":         {`{"iat":1,"exp":2,"jti":"0"` + bm + "}", jwtauth.ReasonClaims},
	} {
		t.Run(name, func(t *testing.T) {
			wantReason(t, a.take(tagged(t, a, header, c.payload), typed), c.reason)
		})
	}
	other := strings.Replace(header, a.key.PublicKey().Thumbprint(), someHash, 1)
	wantReason(t, a.take(tagged(t, a, other, dates+bm+"}"), typed), jwtauth.ReasonSignature)
	// The other way round: a signature does not bring a tag in.
	wantReason(t, a.take(forge(t, a.key, headerOf(a.key, jwtauth.TypeRequest), dates+bm+"}"), typed), jwtauth.ReasonClaims)
	wantReason(t, a.take(tagged(t, a, header, `{"iat":1,"exp":2,"jti":"3","bm":"AAAAAAAAAAAAAAAAAAAAAB"}`), typed), jwtauth.ReasonClaims)
}

const someHash = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

// golang-jwt reads what is made under a MAC, so any JWT library can make it.
func TestForeignLibraryReadsTaggedTokens(t *testing.T) {
	a := agree(t)
	parsed, err := jwt.Parse(a.sign(t, typed), func(*jwt.Token) (any, error) { return a.mac.State().Token, nil },
		jwt.WithTimeFunc(func() time.Time { return time.UnixMilli(macTime) }))
	if err != nil || !parsed.Valid {
		t.Fatalf("golang-jwt refuses the token: %v", err)
	}
}

// lowOrder are points with which every secret is zero: curve25519's of small
// order, and encodings of them (RFC 7748 §6.1, §7).
var lowOrder = []string{
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0100000000000000000000000000000000000000000000000000000000000000",
	"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
	"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"0000000000000000000000000000000000000000000000000000000000000080",
}

func TestSharesOfLowOrder(t *testing.T) {
	guarded, host := newKey(t), newKey(t)
	for _, text := range lowOrder {
		point, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		share := b64.EncodeToString(point)
		c := identityClaims(t, time.Now())
		c.Share = share
		open := mustVerify(t, guarded.PublicKey(), mustSign(t, guarded, jwtauth.TypeIdentity, c))
		m, answer, err := jwtauth.AgreeMAC(open, someHash)
		wantReason(t, err, jwtauth.ReasonClaims)
		if m != nil || answer != "" {
			t.Errorf("%s: agreed on %v", text, m)
		}
		key := newKey(t)
		signer := jwtauth.NewRequestSigner(key)
		if _, err := signer.Offer(); err != nil {
			t.Fatal(err)
		}
		token := mustVerify(t, host.PublicKey(), mustSign(t, host, jwtauth.TypeHost, jwtauth.Claims{
			IssuedAt: macTime, Audience: key.PublicKey().Thumbprint(), SessionID: someHash, OpenHash: someHash, Share: share,
		}))
		if err := signer.Agree(token); err == nil {
			t.Errorf("%s: the client agreed", text)
		}
	}
}

func TestShareForms(t *testing.T) {
	key := newKey(t)
	c := identityClaims(t, time.Now())
	c.Share = someHash[1:]
	if _, err := jwtauth.Sign(t.Context(), key, jwtauth.TypeIdentity, c); err == nil {
		t.Error("a share of 42 characters was signed")
	}
	c.Share = ""
	m, share, err := jwtauth.AgreeMAC(mustVerify(t, key.PublicKey(), mustSign(t, key, jwtauth.TypeIdentity, c)), someHash)
	if m != nil || share != "" || err != nil {
		t.Errorf("without an offer: %v, %q, %v", m, share, err)
	}
	stray := strings.TrimRight(someHash, "A")
	stray += strings.Repeat("A", 42-len(stray)) + "B" // bits that mean nothing
	c.Share = stray
	m, _, err = jwtauth.AgreeMAC(mustVerify(t, key.PublicKey(), mustSign(t, key, jwtauth.TypeIdentity, c)), someHash)
	if m != nil {
		t.Error("a share with stray bits was taken")
	}
	wantReason(t, err, jwtauth.ReasonClaims)
}

// What an agreement is bound to makes its keys others.
func TestAgreementIsBound(t *testing.T) {
	guarded := newKey(t)
	client, _ := ecdh.X25519().NewPrivateKey([]byte(strings.Repeat("c", 32)))
	agent, _ := ecdh.X25519().NewPrivateKey([]byte(strings.Repeat("a", 32)))
	c := identityClaims(t, time.UnixMilli(macTime))
	c.Share = b64.EncodeToString(client.PublicKey().Bytes())
	seen := map[string]string{}
	add := func(name string, c jwtauth.Claims, session string) {
		open := mustVerify(t, guarded.PublicKey(), mustSign(t, guarded, jwtauth.TypeIdentity, c))
		m, _, err := jwtauth.AgreeMACWith(open, session, agent)
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range [][]byte{m.State().Token, m.State().Body} {
			if before, ok := seen[string(key)]; ok {
				t.Errorf("%s has a key of %s", name, before)
			}
			seen[string(key)] = name
		}
	}
	add("the first", c, someHash)
	add("another session", c, "B"+someHash[1:])
	again := c
	again.ID = jwtauth.NewID()
	add("another identity token", again, someHash)
	again = c
	again.Session = newKey(t).PublicKey()
	add("another session key", again, someHash)
}

func TestForgo(t *testing.T) {
	a := agree(t)
	token := a.sign(t, typed)
	second := a.sign(t, typed)
	if !a.signer.Forgo(token) || !a.signer.Forgo(second) {
		t.Error("a token under the MAC is none")
	}
	token = a.sign(t, typed)
	if u, err := jwtauth.Parse(token); err != nil || u.Alg != jwtauth.AlgEdDSA {
		t.Errorf("afterwards the token is %+v, %v", u, err)
	}
	if err := a.take(token, typed); err != nil {
		t.Error(err)
	}
	if a.signer.Forgo(token) {
		t.Error("a signed token is under a MAC")
	}
}

// No counter is used twice, whoever signs at once and whatever fails.
func TestCountersAreUsedOnce(t *testing.T) {
	a := agree(t)
	tokens := make(chan string, 400)
	var signing sync.WaitGroup
	for range 4 {
		signing.Go(func() {
			for range 100 {
				if token, err := a.signer.Sign(context.Background(), macTime, typed, ""); err == nil {
					tokens <- token
				}
				_, _ = a.signer.Sign(context.Background(), macTime, jwtauth.Request{Method: "\n"}, "")
			}
		})
	}
	signing.Wait()
	close(tokens)
	seen := map[uint64]bool{}
	for token := range tokens {
		u, _ := jwtauth.Parse(token)
		tok, err := a.mac.Verify(u)
		if err != nil || seen[tok.Counter()] {
			t.Fatalf("%+v, %v", tok, err)
		}
		seen[tok.Counter()] = true
	}
	if len(seen) != 400 {
		t.Errorf("%d tokens of 400", len(seen))
	}
	a.signer.SkipTo(1 << 63)
	for range 2 {
		if token, err := a.signer.Sign(t.Context(), macTime, typed, ""); err == nil {
			t.Errorf("a token behind the last: %s", token)
		}
	}
	a.signer.SkipTo(math.MaxUint64)
	if token, err := a.signer.Sign(t.Context(), macTime, typed, ""); err == nil {
		t.Errorf("the last counter there is: %s", token)
	}
}

func TestMACState(t *testing.T) {
	a := agree(t)
	token := a.sign(t, typed)
	restored, err := jwtauth.RestoreMAC(a.key.PublicKey(), a.mac.State())
	if err != nil {
		t.Fatal(err)
	}
	a.mac = restored
	if err := a.take(token, typed); err != nil {
		t.Error(err)
	}
	if m, err := jwtauth.RestoreMAC(a.key.PublicKey(), (*jwtauth.MAC)(nil).State()); m != nil || err != nil {
		t.Errorf("nothing becomes %v, %v", m, err)
	}
	key := make([]byte, 32)
	for name, st := range map[string]jwtauth.MACState{
		"nothing": {}, "no token key": {Body: key}, "no body key": {Token: key},
		"a short one": {Token: key[:31], Body: key}, "a long one": {Token: key, Body: make([]byte, 33)}, "AES-128": {Token: key, Body: key[:16]},
	} {
		if m, err := jwtauth.RestoreMAC(a.key.PublicKey(), &st); m != nil || err == nil {
			t.Errorf("%s: %v, %v", name, m, err)
		}
	}
	if _, err := jwtauth.RestoreMAC(jwtauth.PublicKey{}, a.mac.State()); err == nil {
		t.Error("the MAC of no key")
	}
}

func TestSignRequestRefuses(t *testing.T) {
	signer := jwtauth.NewRequestSigner(newKey(t))
	for name, c := range map[string]struct {
		issued jwtauth.NumericDate
		r      jwtauth.Request
		nonce  string
	}{
		"a nonce with a quote": {macTime, typed, `","jti":"1`},
		"a long nonce":         {macTime, typed, strings.Repeat("n", 129)},
		"a time before 1970":   {-1, typed, ""},
		"a time after 9999":    {253402300799999, typed, ""},
		"a line break":         {macTime, jwtauth.Request{Method: "GET", Target: "/\n"}, ""},
	} {
		if token, err := signer.Sign(t.Context(), c.issued, c.r, c.nonce); err == nil {
			t.Errorf("%s: %s", name, token)
		}
	}
}

// The signer writes what Sign writes.
func TestRequestSignerWritesAsSign(t *testing.T) {
	key := newKey(t)
	signer := jwtauth.NewRequestSigner(key)
	for _, nonce := range []string{"", "abc"} {
		got, err := signer.Sign(t.Context(), macTime, typed, nonce)
		if err != nil {
			t.Fatal(err)
		}
		u, _ := jwtauth.Parse(got)
		tok, err := u.Verify(key.PublicKey())
		if err != nil {
			t.Fatal(err)
		}
		want := mustSign(t, key, jwtauth.TypeRequest, jwtauth.Claims{
			IssuedAt: macTime, ID: tok.Claims.ID, RequestHash: jwtauth.RequestHash(typed.Method, typed.Target, typed.Body), Nonce: nonce,
		})
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
