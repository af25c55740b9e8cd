package jwtauth_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"shellagent/jwtauth"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newKey(t testing.TB) *jwtauth.PrivateKey {
	t.Helper()
	key, err := jwtauth.GeneratePrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// testKeys are one key of each kind. Making the RSA one takes a while.
type testKeys struct {
	ed, ec, rsa *jwtauth.PrivateKey
}

var makeKeys = sync.OnceValues(func() (testKeys, error) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return testKeys{}, err
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return testKeys{}, err
	}
	rs, err := rsa.GenerateKey(rand.Reader, 3072)
	if err != nil {
		return testKeys{}, err
	}
	var k testKeys
	if k.ed, err = jwtauth.NewPrivateKey(ed); err != nil {
		return k, err
	}
	if k.ec, err = jwtauth.NewPrivateKey(ec); err != nil {
		return k, err
	}
	k.rsa, err = jwtauth.NewPrivateKey(rs)
	return k, err
})

func keysOfEachKind(t testing.TB) map[string]*jwtauth.PrivateKey {
	t.Helper()
	k, err := makeKeys()
	if err != nil {
		t.Fatal(err)
	}
	return map[string]*jwtauth.PrivateKey{"ed25519": k.ed, "ecdsa": k.ec, "rsa": k.rsa}
}

// clock is a wall clock that a test sets.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.UnixMilli(1_800_000_000_000)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// wantReason checks that err is a refusal for that reason and returns it.
func wantReason(t *testing.T, err error, reason string) *jwtauth.Error {
	t.Helper()
	var refused *jwtauth.Error
	if !errors.As(err, &refused) {
		t.Fatalf("got error %v, want the reason %s", err, reason)
	}
	if refused.Reason != reason {
		t.Fatalf("got %v, want the reason %s", err, reason)
	}
	return refused
}

func identityClaims(t testing.TB, now time.Time) jwtauth.Claims {
	return jwtauth.Claims{
		IssuedAt:    jwtauth.NumericDateOf(now),
		ID:          jwtauth.NewID(),
		RequestHash: jwtauth.RequestHash("POST", "/v1/shell/debug", nil),
		Audience:    newKey(t).PublicKey().Thumbprint(),
		Session:     newKey(t).PublicKey(),
	}
}

func mustSign(t testing.TB, s jwtauth.Signer, typ jwtauth.Type, c jwtauth.Claims) string {
	t.Helper()
	token, err := jwtauth.Sign(context.Background(), s, typ, c)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func mustVerify(t testing.TB, k jwtauth.PublicKey, token string) *jwtauth.Token {
	t.Helper()
	tok, err := verify(k, token)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func verify(k jwtauth.PublicKey, token string) (*jwtauth.Token, error) {
	u, err := jwtauth.Parse(token)
	if err != nil {
		return nil, err
	}
	return u.Verify(k)
}
