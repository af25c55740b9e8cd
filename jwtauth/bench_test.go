package jwtauth_test

import (
	"context"
	"crypto/sha256"
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
	sum := sha256.Sum256([]byte("x"))
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
		if err := t.CheckRequest("POST", "/v1/sessions/x/stdin", sum); err != nil {
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
