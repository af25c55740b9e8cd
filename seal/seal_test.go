package seal_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"shellagent/jwtauth"
	"shellagent/seal"
)

var now = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

func hostKey(t *testing.T) *jwtauth.PrivateKey {
	t.Helper()
	k, err := jwtauth.GeneratePrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func load(t *testing.T, dir string, host *jwtauth.PrivateKey) *seal.Key {
	t.Helper()
	k, err := seal.Load(dir, host, now)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func certificate(k *seal.Key) string {
	c, _ := k.Certificate()
	return c
}

func verifier(t *testing.T, k *seal.Key, host *jwtauth.PrivateKey) *seal.Verifier {
	t.Helper()
	v, err := seal.NewVerifier(certificate(k), host.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestLinks(t *testing.T) {
	host := hostKey(t)
	k := load(t, t.TempDir(), host)
	v := verifier(t, k, host)
	link := seal.Start(seal.Trail, []byte("header")).Next([]byte("one")).Next([]byte("two"))
	signature := k.Sign(seal.Trail, link)
	if err := v.Verify(seal.Trail, link, signature); err != nil {
		t.Error(err)
	}
	start := seal.Start(seal.Trail, []byte("header"))
	for what, other := range map[string]seal.Link{
		"another header":      seal.Start(seal.Trail, []byte("headed")).Next([]byte("one")).Next([]byte("two")),
		"another purpose":     seal.Start(seal.Recording, []byte("header")).Next([]byte("one")).Next([]byte("two")),
		"another record":      start.Next([]byte("one")).Next([]byte("twö")),
		"a record left out":   start.Next([]byte("two")),
		"records swapped":     start.Next([]byte("two")).Next([]byte("one")),
		"records joined":      start.Next([]byte("onetwo")),
		"a record cut apart":  start.Next([]byte("on")).Next([]byte("etwo")),
		"a record too many":   link.Next(nil),
		"another number":      {N: 3, Sum: link.Sum},
		"nothing but a start": start,
	} {
		if err := v.Verify(seal.Trail, other, signature); !errors.Is(err, seal.ErrSignature) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := v.Verify(seal.Recording, link, signature); !errors.Is(err, seal.ErrSignature) {
		t.Errorf("a signature for another purpose: %v", err)
	}
	if err := v.Verify(seal.Trail, link, signature[:10]); !errors.Is(err, seal.ErrSignature) {
		t.Errorf("a short signature: %v", err)
	}
}

func TestKeyStays(t *testing.T) {
	dir, host := t.TempDir(), hostKey(t)
	first := load(t, dir, host)
	again := load(t, dir, host)
	if certificate(first) != certificate(again) {
		t.Error("another certificate after a restart")
	}
	for _, name := range []string{"seal.key", "seal.cert"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != 0o600 {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
	}
}

func TestRotatedHostKey(t *testing.T) {
	dir, host, next := t.TempDir(), hostKey(t), hostKey(t)
	k := load(t, dir, host)
	link := seal.Start(seal.Recording, nil).Next([]byte("x"))
	signature := k.Sign(seal.Recording, link)
	before := verifier(t, k, host)
	if err := k.Certify(next, now); err != nil {
		t.Fatal(err)
	}
	for _, v := range []*seal.Verifier{before, verifier(t, k, next), verifier(t, load(t, dir, next), next)} {
		if err := v.Verify(seal.Recording, link, signature); err != nil {
			t.Error(err)
		}
	}
	if _, err := seal.NewVerifier(certificate(k), host.PublicKey()); err == nil {
		t.Error("the former host key certifies")
	}
	// A restart under a host key that certified nothing yet.
	if k := load(t, dir, host); verifier(t, k, host).Verify(seal.Recording, link, signature) != nil {
		t.Error("not certified anew")
	}
}

func TestKeyOfAnother(t *testing.T) {
	host := hostKey(t)
	theirs := load(t, t.TempDir(), host)
	ours := load(t, t.TempDir(), host)
	link := seal.Start(seal.Recording, nil).Next([]byte("x"))
	if err := verifier(t, ours, host).Verify(seal.Recording, link, theirs.Sign(seal.Recording, link)); !errors.Is(err, seal.ErrSignature) {
		t.Errorf("got %v", err)
	}
}

func TestBadKeyFile(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "seal.key"), []byte("no key\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := seal.Load(dir, hostKey(t), now); err == nil {
		t.Error("a file that is no key was taken, or replaced")
	}
}
