package jwtauth

import (
	"bytes"
	"crypto/ed25519"
	"crypto/fips140"
	"crypto/rand"
	"crypto/sha512"
	"errors"
	"sync/atomic"

	"filippo.io/edwards25519"
)

// crypto/ed25519 makes a table of the base point's multiples before it multiplies
// the first time. That takes a millisecond, a tenth of what a client does for one
// command, and is worth it from the dozenth multiplication on. So the first of a
// process are done without.

// few is how many multiplications go without the table.
const few = 8

// multiplied counts them.
var multiplied atomic.Int32

// withoutTable says whether the next multiplication is one of the first. Where
// only validated modules may do it, none is.
func withoutTable() bool {
	return multiplied.Load() < few && multiplied.Add(1) <= few && !fips140.Enabled()
}

// signEd25519 signs as RFC 8032, section 5.1.6 says.
func signEd25519(key ed25519.PrivateKey, message []byte) []byte {
	if !withoutTable() {
		return ed25519.Sign(key, message)
	}
	secret, prefix := expand(key.Seed())
	public := key[ed25519.SeedSize:]
	r := hashed(prefix, message)
	signature := timesBase(r).Bytes()
	k := hashed(signature, public, message)
	return append(signature, edwards25519.NewScalar().MultiplyAdd(k, secret, r).Bytes()...)
}

// publicEd25519 is the public key of a seed, by section 5.1.5.
func publicEd25519(seed []byte) ed25519.PublicKey {
	if !withoutTable() {
		return ed25519.PublicKey(ed25519.NewKeyFromSeed(seed)[ed25519.SeedSize:])
	}
	secret, _ := expand(seed)
	return timesBase(secret).Bytes()
}

// generateEd25519 makes a key.
func generateEd25519() ed25519.PrivateKey {
	seed := make([]byte, ed25519.SeedSize, ed25519.PrivateKeySize)
	_, _ = rand.Read(seed) // it never fails
	return append(seed, publicEd25519(seed)...)
}

// checkEd25519 fails unless the second half of a private key, the public one, is
// the seed's: signing with another would give the seed away.
func checkEd25519(key ed25519.PrivateKey) error {
	if len(key) != ed25519.PrivateKeySize || !bytes.Equal(publicEd25519(key.Seed()), key[ed25519.SeedSize:]) {
		return errors.New("ed25519 private key does not match its public half")
	}
	return nil
}

// expand returns the secret scalar and the prefix of a seed.
func expand(seed []byte) (secret *edwards25519.Scalar, prefix []byte) {
	h := sha512.Sum512(seed)
	secret, err := edwards25519.NewScalar().SetBytesWithClamping(h[:32])
	if err != nil {
		panic(err) // of 32 bytes
	}
	return secret, h[32:]
}

// hashed is the SHA-512 of the parts as a scalar.
func hashed(parts ...[]byte) *edwards25519.Scalar {
	h := sha512.New()
	for _, part := range parts {
		h.Write(part)
	}
	s, err := edwards25519.NewScalar().SetUniformBytes(h.Sum(nil))
	if err != nil {
		panic(err) // of 64 bytes
	}
	return s
}

// timesBase multiplies the base point, in constant time.
func timesBase(s *edwards25519.Scalar) *edwards25519.Point {
	return new(edwards25519.Point).ScalarMult(s, edwards25519.NewGeneratorPoint())
}
