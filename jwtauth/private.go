package jwtauth

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/pem"
	"fmt"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/crypto/ssh"
)

// PrivateKey is a private key in memory. It is safe for concurrent use.
type PrivateKey struct {
	key    crypto.Signer
	public PublicKey
}

var _ Signer = (*PrivateKey)(nil)

// NewPrivateKey takes an ed25519.PrivateKey (or a pointer to one),
// *ecdsa.PrivateKey (P-256) or *rsa.PrivateKey (3072 to 8192 bits).
func NewPrivateKey(key crypto.Signer) (*PrivateKey, error) {
	switch k := key.(type) {
	case *ed25519.PrivateKey:
		key = *k
	case ed25519.PrivateKey, *ecdsa.PrivateKey, *rsa.PrivateKey:
	default:
		return nil, fmt.Errorf("private keys of type %T are not supported: use Ed25519, ECDSA P-256 or RSA", key)
	}
	public, err := publicOf(key)
	if err != nil {
		return nil, err
	}
	return &PrivateKey{key: key, public: public}, nil
}

// GeneratePrivateKey makes an Ed25519 key.
func GeneratePrivateKey() (*PrivateKey, error) {
	return NewPrivateKey(generateEd25519())
}

// PublicKey returns the public half.
func (p *PrivateKey) PublicKey() PublicKey { return p.public }

// String names the key without giving it away, whoever prints it.
func (p *PrivateKey) String() string { return "private key " + p.public.Thumbprint() }

// Sign signs at once; ctx is not asked.
func (p *PrivateKey) Sign(_ context.Context, signingInput []byte) ([]byte, error) {
	switch key := p.key.(type) {
	case ed25519.PrivateKey:
		return jwt.SigningMethodEdDSA.Sign(string(signingInput), ed25519Signer{key})
	case *ecdsa.PrivateKey:
		return jwt.SigningMethodES256.Sign(string(signingInput), p.key)
	default:
		return jwt.SigningMethodRS256.Sign(string(signingInput), p.key)
	}
}

// Crypto returns the key as the standard library has it.
func (p *PrivateKey) Crypto() crypto.Signer { return p.key }

// MarshalOpenSSH returns the key as a file of OpenSSH's, which ssh-keygen and
// [LoadPrivateKey] read. An empty passphrase leaves it unencrypted.
func (p *PrivateKey) MarshalOpenSSH(comment string, passphrase []byte) ([]byte, error) {
	var block *pem.Block
	var err error
	if len(passphrase) == 0 {
		block, err = ssh.MarshalPrivateKey(p.key, comment)
	} else {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(p.key, comment, passphrase)
	}
	if err != nil {
		return nil, fmt.Errorf("marshal private key: %w", err)
	}
	return pem.EncodeToMemory(block), nil
}
