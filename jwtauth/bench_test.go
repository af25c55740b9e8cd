package jwtauth_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"shellagent/jwtauth"
)

// A request token is made and checked once per keystroke.

func requestClaims(counter uint64) jwtauth.Claims {
	return jwtauth.Claims{
		IssuedAt:    jwtauth.NumericDateOf(time.UnixMilli(1_800_000_000_123)),
		ID:          strconv.FormatUint(counter, 10),
		RequestHash: jwtauth.RequestHash("POST", "/v1/sessions/x/stdin", []byte("x")),
	}
}

func BenchmarkVerifyRequest(b *testing.B) {
	key := newKey(b)
	token, err := jwtauth.Sign(context.Background(), key, jwtauth.TypeRequest, requestClaims(1))
	if err != nil {
		b.Fatal(err)
	}
	public := key.PublicKey()
	body := []byte("x")
	b.ReportAllocs()
	for b.Loop() {
		u, err := jwtauth.Parse(token)
		if err != nil {
			b.Fatal(err)
		}
		t, err := u.Verify(public)
		if err != nil {
			b.Fatal(err)
		}
		if err := t.CheckRequest("POST", "/v1/sessions/x/stdin", body); err != nil {
			b.Fatal(err)
		}
	}
}

// benchmarkRequests makes and checks requests with bodies of a keystroke and of
// bulk input, under a MAC or signed.
func benchmarkRequests(b *testing.B, under bool, do func(b *testing.B, a *agreed, r jwtauth.Request)) {
	for name, size := range map[string]int{"keystroke": 25, "1MiB": 1 << 20} {
		b.Run(name, func(b *testing.B) {
			a := agree(b)
			r := jwtauth.Request{Method: "POST", Target: "/v1/sessions/" + someHash + "/stdin", Body: make([]byte, size)}
			if !under {
				a.signer.Forgo(a.sign(b, r))
			}
			b.ReportAllocs()
			do(b, a, r)
		})
	}
}

func signEach(b *testing.B, a *agreed, r jwtauth.Request) {
	for b.Loop() {
		if _, err := a.signer.Sign(context.Background(), macTime, r, ""); err != nil {
			b.Fatal(err)
		}
	}
}

func takeEach(b *testing.B, a *agreed, r jwtauth.Request) {
	token := a.sign(b, r)
	for b.Loop() {
		a.window = jwtauth.Window{}
		if err := a.take(token, r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMakeTagged(b *testing.B) { benchmarkRequests(b, true, signEach) }
func BenchmarkTakeTagged(b *testing.B) { benchmarkRequests(b, true, takeEach) }
func BenchmarkMakeSigned(b *testing.B) { benchmarkRequests(b, false, signEach) }
func BenchmarkTakeSigned(b *testing.B) { benchmarkRequests(b, false, takeEach) }

// BenchmarkAgree is what the MAC of a session costs an agent, once.
func BenchmarkAgree(b *testing.B) {
	guarded, signer := newKey(b), jwtauth.NewRequestSigner(newKey(b))
	c := identityClaims(b, time.Now())
	var err error
	if c.Share, err = signer.Offer(); err != nil {
		b.Fatal(err)
	}
	open := mustVerify(b, guarded.PublicKey(), mustSign(b, guarded, jwtauth.TypeIdentity, c))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := jwtauth.AgreeMAC(open, someHash); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	token, err := jwtauth.Sign(context.Background(), newKey(b), jwtauth.TypeRequest, requestClaims(1))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := jwtauth.Parse(token); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSignRequest(b *testing.B) {
	key := newKey(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := jwtauth.Sign(context.Background(), key, jwtauth.TypeRequest, requestClaims(1)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkVerifyDummy is to be read beside BenchmarkVerifyRefused: an unknown
// kid should cost what a known one with a bad signature does.
func BenchmarkVerifyDummy(b *testing.B) {
	benchmarkRefused(b, func(u jwtauth.Unverified, _ jwtauth.PublicKey) { jwtauth.VerifyDummy(u) })
}

// BenchmarkVerifyRefused is a known kid with a bad signature.
func BenchmarkVerifyRefused(b *testing.B) {
	benchmarkRefused(b, func(u jwtauth.Unverified, k jwtauth.PublicKey) { _, _ = u.Verify(k) })
}

func benchmarkRefused(b *testing.B, refuse func(jwtauth.Unverified, jwtauth.PublicKey)) {
	for name, key := range keysOfEachKind(b) {
		b.Run(name, func(b *testing.B) {
			token := mustSign(b, key, jwtauth.TypeIdentity, identityClaims(b, time.Now()))
			u, err := jwtauth.Parse(token[:len(token)-4] + "AAAA")
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				refuse(u, key.PublicKey())
			}
		})
	}
}
