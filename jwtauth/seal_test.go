package jwtauth_test

import (
	"testing"
	"time"

	"shellagent/jwtauth"
)

func TestSealCertificate(t *testing.T) {
	host, seal, other := generated(t), generated(t), generated(t)
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	made, err := jwtauth.CertifySeal(host, seal.PublicKey(), now)
	if err != nil {
		t.Fatal(err)
	}
	got, err := jwtauth.VerifySeal(made, host.PublicKey())
	if err != nil || !got.Key.Equal(seal.PublicKey()) || !got.From.Equal(now) || !got.Until.Equal(now.Add(jwtauth.SealLifetime)) {
		t.Fatalf("got %+v, %v", got, err)
	}
	if _, err := jwtauth.VerifySeal(made, other.PublicKey()); err == nil {
		t.Error("another host key's word counts")
	}
	next, err := jwtauth.SignSuccession(host, other, now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := jwtauth.VerifySeal(next.Promise, host.PublicKey()); err == nil {
		t.Error("the next host key seals")
	}
	if _, err := jwtauth.VerifySeal(made[:len(made)-4]+"AAAA", host.PublicKey()); err == nil {
		t.Error("a wrong signature holds")
	}
	if _, err := jwtauth.CertifySeal(host, host.PublicKey(), now); err == nil {
		t.Error("the host key seals")
	}
}

func generated(t *testing.T) *jwtauth.PrivateKey {
	t.Helper()
	k, err := jwtauth.GeneratePrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}
