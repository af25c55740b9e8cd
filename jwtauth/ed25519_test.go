package jwtauth

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"testing"
)

// Keys and signatures are those of the standard library, byte for byte.
func TestSignaturesAreTheStandardLibrarys(t *testing.T) {
	seeds := [][]byte{make([]byte, 32), bytes.Repeat([]byte{0xff}, 32)}
	for range 200 {
		seed := make([]byte, 32)
		rand.Read(seed)
		seeds = append(seeds, seed)
	}
	for i, seed := range seeds {
		want := ed25519.NewKeyFromSeed(seed)
		got := newEd25519(seed)
		if !got.Equal(want) {
			t.Fatalf("seed %x: key %x, want %x", seed, got, want)
		}
		message := make([]byte, 37*i)
		rand.Read(message)
		sig, err := ed25519Signer{got}.Sign(nil, message, crypto.Hash(0))
		if err != nil || !bytes.Equal(sig, ed25519.Sign(want, message)) {
			t.Fatalf("seed %x: %v, or another signature", seed, err)
		}
	}
	if _, err := (ed25519Signer{newEd25519(seeds[0])}).Sign(nil, make([]byte, 64), crypto.SHA512); err == nil {
		t.Error("a hash was signed as a message")
	}
}

func FuzzSignature(f *testing.F) {
	f.Add(make([]byte, 32), []byte("message"))
	f.Fuzz(func(t *testing.T, seed, message []byte) {
		if len(seed) != 32 {
			return
		}
		sig, err := ed25519Signer{newEd25519(seed)}.Sign(nil, message, crypto.Hash(0))
		if err != nil || !bytes.Equal(sig, ed25519.Sign(ed25519.NewKeyFromSeed(seed), message)) {
			t.Errorf("%v, or another signature", err)
		}
	})
}
