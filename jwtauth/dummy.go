package jwtauth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/binary"
	"math/big"
	"sync"
)

// dummyKeys are one key of each kind that nobody signs with. Their values do
// not matter, since the outcome of a dummy verification is never used. They are
// made when they are needed: a client has no use for them.
var dummyKeys = sync.OnceValue(func() map[string]PublicKey {
	return map[string]PublicKey{
		AlgEdDSA: dummyKey(dummyEd25519()),
		AlgES256: dummyKey(dummyECDSA()),
		AlgRS256: dummyKey(dummyRSA()),
	}
})

// dummyMAC is one that nobody agreed on.
var dummyMAC = sync.OnceValue(func() *MAC {
	m, err := newMAC("", macKeys{})
	if err != nil {
		panic("jwtauth: " + err.Error())
	}
	return m
})

// VerifyDummy spends what [Unverified.Verify] would spend on a signature, for
// a kid that is not known: how long a refusal takes does not tell whether a
// key is listed. RSA keys larger than 3072 bits still take longer.
func VerifyDummy(u Unverified) {
	// The error is the point of the exercise.
	if u.Alg == AlgHS256 {
		_ = dummyMAC().verify(u)
		return
	}
	_ = u.verifySignature(dummyKeys()[u.Alg])
}

func dummyKey(key any) PublicKey {
	k, err := NewPublicKey(key)
	if err != nil {
		panic("jwtauth: " + err.Error())
	}
	return k
}

// dummyEd25519 is the base point (RFC 8032 §5.1).
func dummyEd25519() ed25519.PublicKey {
	key := make(ed25519.PublicKey, ed25519.PublicKeySize)
	for i := range key {
		key[i] = 0x66
	}
	key[0] = 0x58
	return key
}

// dummyECDSA is the base point (SP 800-186 §3.2.1.3).
func dummyECDSA() *ecdsa.PublicKey {
	params := elliptic.P256().Params()
	point := make([]byte, 65)
	point[0] = 4
	params.Gx.FillBytes(point[1:33])
	params.Gy.FillBytes(point[33:])
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		panic("jwtauth: " + err.Error())
	}
	return key
}

// dummyRSA has an odd modulus of full length that nobody chose.
func dummyRSA() *rsa.PublicKey {
	var n []byte
	for i := range uint32(minRSABits / 8 / sha256.Size) {
		block := sha256.Sum256(binary.BigEndian.AppendUint32([]byte("shellagent dummy modulus"), i))
		n = append(n, block[:]...)
	}
	n[0] |= 0x80
	n[len(n)-1] |= 1
	return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: 65537}
}
