package jwtauth_test

import (
	"testing"

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
