package jwtauth

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/golang-jwt/jwt/v5"
)

// Signature algorithms (RFC 7518, RFC 8037). Which one is used follows from
// the key, never from a token.
const (
	AlgHS256 = "HS256" // HMAC with SHA-256, for request tokens alone: see [MAC]
	AlgEdDSA = "EdDSA" // Ed25519
	AlgES256 = "ES256" // ECDSA on P-256
	AlgRS256 = "RS256" // RSA with 3072 to 8192 bits, PKCS #1 v1.5
)

// Bounds of RSA keys: below is too weak for a key that opens shells, above
// lets one listed key make every check expensive.
const (
	minRSABits = 3072
	maxRSABits = 8192
)

// PublicKey is a key that tokens are checked with: Ed25519, ECDSA P-256 or
// RSA. The zero value is no key: it verifies nothing and equals nothing, not
// even itself. It is immutable and safe for concurrent use.
type PublicKey struct {
	_          [0]func() // keys are compared with Equal
	key        crypto.PublicKey
	alg        string
	thumbprint string
}

// NewPublicKey takes an ed25519.PublicKey, *ecdsa.PublicKey (P-256) or
// *rsa.PublicKey (3072 to 8192 bits). The key must not be changed afterwards.
func NewPublicKey(key crypto.PublicKey) (PublicKey, error) {
	k := PublicKey{key: key}
	switch key := key.(type) {
	case ed25519.PublicKey:
		if len(key) != ed25519.PublicKeySize {
			return PublicKey{}, fmt.Errorf("ed25519 key has %d bytes instead of %d", len(key), ed25519.PublicKeySize)
		}
		k.alg = AlgEdDSA
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() {
			return PublicKey{}, errors.New("ecdsa key is not on P-256: use an Ed25519 key")
		}
		if _, err := key.Bytes(); err != nil {
			return PublicKey{}, fmt.Errorf("ecdsa key: %w", err)
		}
		k.alg = AlgES256
	case *rsa.PublicKey:
		if err := checkRSA(key); err != nil {
			return PublicKey{}, err
		}
		k.alg = AlgRS256
	default:
		return PublicKey{}, fmt.Errorf("keys of type %T are not supported: use Ed25519, ECDSA P-256 or RSA", key)
	}
	k.thumbprint = encodeSum(sha256.Sum256(k.JWK()))
	return k, nil
}

func checkRSA(key *rsa.PublicKey) error {
	if key.N == nil || key.N.Sign() <= 0 || key.N.Bit(0) == 0 {
		return errors.New("rsa key has no odd positive modulus")
	}
	if n := key.N.BitLen(); n < minRSABits || n > maxRSABits {
		return fmt.Errorf("rsa key has %d bits: use %d to %d, or an Ed25519 key", n, minRSABits, maxRSABits)
	}
	if key.E < 3 || key.E&1 == 0 || key.E > 1<<31-1 {
		return fmt.Errorf("rsa key has the exponent %d: use 65537", key.E)
	}
	return nil
}

// IsZero says that k is no key.
func (k PublicKey) IsZero() bool { return k.key == nil }

// Equal says that both are the same key. No key equals the zero value.
func (k PublicKey) Equal(other PublicKey) bool {
	return !k.IsZero() && k.thumbprint == other.thumbprint
}

// Alg is the one algorithm that k verifies: AlgEdDSA, AlgES256 or AlgRS256.
func (k PublicKey) Alg() string { return k.alg }

// Thumbprint is the key's identity: the base64url SHA-256 of its JWK
// (RFC 7638), 43 characters. It is the kid of a token and the id of a session.
func (k PublicKey) Thumbprint() string { return k.thumbprint }

// Crypto returns the key as the standard library has it. It must not be changed.
func (k PublicKey) Crypto() crypto.PublicKey { return k.key }

// String returns the thumbprint, for logs.
func (k PublicKey) String() string { return k.thumbprint }

// errSignature says nothing more on purpose: there is nothing more to say.
var errSignature = errors.New("the signature does not hold")

// Verify checks a signature in the form of RFC 7518: 64 bytes for Ed25519, r
// and s of 32 bytes each for ES256, the length of the modulus for RS256.
func (k PublicKey) Verify(signingInput, sig []byte) error {
	return k.verify(string(signingInput), sig)
}

func (k PublicKey) verify(signingInput string, sig []byte) error {
	var err error
	switch k.key.(type) {
	case ed25519.PublicKey:
		err = jwt.SigningMethodEdDSA.Verify(signingInput, sig, k.key)
	case *ecdsa.PublicKey:
		err = jwt.SigningMethodES256.Verify(signingInput, sig, k.key)
	case *rsa.PublicKey:
		err = jwt.SigningMethodRS256.Verify(signingInput, sig, k.key)
	default:
		err = errSignature
	}
	if err != nil {
		return errSignature
	}
	return nil
}

// publicOf returns the public half of a key that [NewPrivateKey] takes.
func publicOf(key crypto.Signer) (PublicKey, error) {
	if k, ok := key.(ed25519.PrivateKey); ok {
		// The second half of an Ed25519 private key is the public one. Signing
		// with another than the seed's would give the seed away.
		if len(k) != ed25519.PrivateKeySize ||
			!bytes.Equal(newEd25519(k.Seed()), k) {
			return PublicKey{}, errors.New("ed25519 private key does not match its public half")
		}
	}
	return NewPublicKey(key.Public())
}
