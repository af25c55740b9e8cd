package jwtauth

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"io"

	circl "github.com/cloudflare/circl/sign/ed25519"
)

// Before its first signature of a process, crypto/ed25519 computes tables for a
// millisecond: more than a client that runs one command spends on all else that it
// does for its tokens. CIRCL's are part of the binary. The signatures are the same
// bytes, as RFC 8032 leaves nothing to chance. What judges signatures is crypto/ed25519
// alone.

// newEd25519 is [ed25519.NewKeyFromSeed].
func newEd25519(seed []byte) ed25519.PrivateKey {
	return ed25519.PrivateKey(circl.NewKeyFromSeed(seed))
}

// generateEd25519 is [ed25519.GenerateKey].
func generateEd25519() ed25519.PrivateKey {
	seed := make([]byte, ed25519.SeedSize)
	_, _ = rand.Read(seed) // ends the process rather than fail
	return newEd25519(seed)
}

// ed25519Signer signs as its key does.
type ed25519Signer struct{ ed25519.PrivateKey }

var _ crypto.Signer = ed25519Signer{}

// Sign implements [crypto.Signer] for messages that are not hashed.
func (s ed25519Signer) Sign(_ io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	if opts.HashFunc() != crypto.Hash(0) {
		return nil, fmt.Errorf("ed25519 signs messages, and no hash of %v", opts.HashFunc())
	}
	return circl.Sign(circl.PrivateKey(s.PrivateKey), message), nil
}
