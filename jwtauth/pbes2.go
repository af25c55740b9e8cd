package jwtauth

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"hash"

	"golang.org/x/crypto/scrypt"
)

// Encrypted PKCS #8 (RFC 5958 §3) with PBES2 (RFC 8018 §6.2), which is what
// openssl writes and crypto/x509 does not read.

type encryptedPrivateKeyInfo struct {
	Algorithm pkix.AlgorithmIdentifier
	Data      []byte
}

type pbes2Params struct {
	KeyDerivation pkix.AlgorithmIdentifier
	Encryption    pkix.AlgorithmIdentifier
}

type pbkdf2Params struct {
	Salt       []byte
	Iterations int
	KeyLength  int                      `asn1:"optional"`
	PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
}

// scryptParams is RFC 7914 §7.1.
type scryptParams struct {
	Salt      []byte
	N, R, P   int
	KeyLength int `asn1:"optional"`
}

var (
	oidPBES2  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
	oidScrypt = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11591, 4, 11}
)

// prfs by object identifier (RFC 8018 B.1.2); "" is the default.
var prfs = map[string]func() hash.Hash{
	"":                   sha1.New,
	"1.2.840.113549.2.7": sha1.New,
	"1.2.840.113549.2.9": sha256.New, "1.2.840.113549.2.11": sha512.New,
}

// aesCBC are key lengths by object identifier (RFC 8018 B.2.5).
var aesCBC = map[string]int{
	"2.16.840.1.101.3.4.1.2": 16, "2.16.840.1.101.3.4.1.22": 24, "2.16.840.1.101.3.4.1.42": 32,
}

// Bounds of the key derivation: a key file must not stop the program for
// minutes or take its memory. openssl's defaults are far below.
const (
	maxIterations   = 10_000_000
	maxScryptMemory = 256 << 20
)

// errPKCS8 says what to do about a file in a form that we do not read.
func errPKCS8(what string) error {
	return fmt.Errorf("encrypted PKCS #8 with %s is not supported: convert it with ssh-keygen -p -f FILE", what)
}

func parseEncryptedPKCS8(der, passphrase []byte) (crypto.Signer, error) {
	var info encryptedPrivateKeyInfo
	var params pbes2Params
	if rest, err := asn1.Unmarshal(der, &info); err != nil || len(rest) != 0 {
		return nil, errors.New("encrypted PKCS #8 is malformed")
	}
	if !info.Algorithm.Algorithm.Equal(oidPBES2) {
		return nil, errPKCS8("the scheme " + info.Algorithm.Algorithm.String())
	}
	if _, err := asn1.Unmarshal(info.Algorithm.Parameters.FullBytes, &params); err != nil {
		return nil, errors.New("encrypted PKCS #8 is malformed")
	}
	if len(passphrase) == 0 {
		return nil, ErrPassphrase
	}
	plain, err := params.decrypt(info.Data, passphrase)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	key, err := x509.ParsePKCS8PrivateKey(plain)
	if err != nil {
		return nil, ErrPassphrase // the padding fits one wrong passphrase in 256
	}
	return asSigner(key)
}

func (p *pbes2Params) decrypt(data, passphrase []byte) ([]byte, error) {
	length, ok := aesCBC[p.Encryption.Algorithm.String()]
	if !ok {
		return nil, errPKCS8("the cipher " + p.Encryption.Algorithm.String())
	}
	var iv []byte
	if _, err := asn1.Unmarshal(p.Encryption.Parameters.FullBytes, &iv); err != nil ||
		len(iv) != aes.BlockSize || len(data) == 0 || len(data)%aes.BlockSize != 0 {
		return nil, errors.New("encrypted PKCS #8 is malformed")
	}
	key, err := deriveKey(p.KeyDerivation, passphrase, length)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	plain := make([]byte, len(data))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, data)
	pad := int(plain[len(plain)-1])
	if pad == 0 || pad > aes.BlockSize {
		return nil, ErrPassphrase
	}
	return plain[:len(plain)-pad], nil
}

func deriveKey(kdf pkix.AlgorithmIdentifier, passphrase []byte, length int) ([]byte, error) {
	switch {
	case kdf.Algorithm.Equal(oidPBKDF2):
		var p pbkdf2Params
		if _, err := asn1.Unmarshal(kdf.Parameters.FullBytes, &p); err != nil {
			return nil, errors.New("encrypted PKCS #8 is malformed")
		}
		prf := prfs[p.PRF.Algorithm.String()]
		if prf == nil || p.Iterations < 1 || p.Iterations > maxIterations {
			return nil, errPKCS8("these PBKDF2 parameters")
		}
		return pbkdf2.Key(prf, string(passphrase), p.Salt, p.Iterations, length)
	case kdf.Algorithm.Equal(oidScrypt):
		var p scryptParams
		if _, err := asn1.Unmarshal(kdf.Parameters.FullBytes, &p); err != nil {
			return nil, errors.New("encrypted PKCS #8 is malformed")
		}
		if p.N < 2 || p.R < 1 || p.P < 1 || p.P > 16 || p.R > 64 || p.N > maxScryptMemory/128/p.R {
			return nil, errPKCS8("these scrypt parameters")
		}
		return scrypt.Key(passphrase, p.Salt, p.N, p.R, p.P, length)
	default:
		return nil, errPKCS8("the key derivation " + kdf.Algorithm.String())
	}
}
