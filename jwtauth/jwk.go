package jwtauth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
)

// maxJWK bounds the JSON of a key: an 8192-bit modulus takes 1366 characters.
const maxJWK = 2048

// JWK returns the key as RFC 7638 wants it: the required members only, in
// lexicographic order, without white space. It is nil for the zero value.
func (k PublicKey) JWK() []byte {
	enc := base64.RawURLEncoding
	switch key := k.key.(type) {
	case ed25519.PublicKey:
		b := []byte(`{"crv":"Ed25519","kty":"OKP","x":"`)
		return append(enc.AppendEncode(b, key), `"}`...)
	case *ecdsa.PublicKey:
		point, err := key.Bytes() // 4, x, y (SEC 1 §2.3.3); checked by NewPublicKey
		if err != nil {
			return nil
		}
		b := []byte(`{"crv":"P-256","kty":"EC","x":"`)
		b = enc.AppendEncode(b, point[1:33])
		b = append(b, `","y":"`...)
		return append(enc.AppendEncode(b, point[33:]), `"}`...)
	case *rsa.PublicKey:
		b := []byte(`{"e":"`)
		b = enc.AppendEncode(b, big.NewInt(int64(key.E)).Bytes())
		b = append(b, `","kty":"RSA","n":"`...)
		return append(enc.AppendEncode(b, key.N.Bytes()), `"}`...)
	default:
		return nil
	}
}

// ParseJWK reads a public key from JSON. Members other than the required ones
// are refused, a private one above all, and so is every encoding that is not
// the shortest: one key has one JWK and one thumbprint.
func ParseJWK(data []byte) (PublicKey, error) {
	if len(data) > maxJWK {
		return PublicKey{}, fmt.Errorf("jwk is larger than %d bytes", maxJWK)
	}
	members, err := DecodeObject(data)
	if err != nil {
		return PublicKey{}, fmt.Errorf("jwk: %w", err)
	}
	return publicFromMembers(members)
}

func publicFromMembers(members map[string]any) (PublicKey, error) {
	kty, _ := members["kty"].(string)
	var want []string
	switch kty {
	case "OKP":
		want = []string{"crv", "x"}
	case "EC":
		want = []string{"crv", "x", "y"}
	case "RSA":
		want = []string{"e", "n"}
	default:
		return PublicKey{}, errors.New(`jwk: kty must be "OKP", "EC" or "RSA"`)
	}
	if len(members) != len(want)+1 {
		return PublicKey{}, fmt.Errorf("jwk: %s takes the members kty, %q and no others", kty, want)
	}
	value := make(map[string]string, len(want))
	for _, name := range want {
		s, ok := members[name].(string)
		if !ok {
			return PublicKey{}, fmt.Errorf("jwk: %s is missing or not a string", name)
		}
		value[name] = s
	}
	switch kty {
	case "OKP":
		return okpKey(value)
	case "EC":
		return ecKey(value)
	default:
		return rsaKey(value)
	}
}

func okpKey(value map[string]string) (PublicKey, error) {
	if value["crv"] != "Ed25519" {
		return PublicKey{}, errors.New(`jwk: crv must be "Ed25519"`)
	}
	x, err := decodeStrict(value["x"])
	if err != nil {
		return PublicKey{}, fmt.Errorf("jwk: x: %w", err)
	}
	return NewPublicKey(ed25519.PublicKey(x))
}

func ecKey(value map[string]string) (PublicKey, error) {
	if value["crv"] != "P-256" {
		return PublicKey{}, errors.New(`jwk: crv must be "P-256"`)
	}
	point := []byte{4}
	for _, name := range []string{"x", "y"} {
		b, err := decodeStrict(value[name])
		if err != nil {
			return PublicKey{}, fmt.Errorf("jwk: %s: %w", name, err)
		}
		if len(b) != 32 {
			return PublicKey{}, fmt.Errorf("jwk: %s has %d bytes instead of 32", name, len(b))
		}
		point = append(point, b...)
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return PublicKey{}, fmt.Errorf("jwk: %w", err)
	}
	return NewPublicKey(key)
}

func rsaKey(value map[string]string) (PublicKey, error) {
	n, err := decodeStrict(value["n"])
	if err != nil {
		return PublicKey{}, fmt.Errorf("jwk: n: %w", err)
	}
	e, err := decodeStrict(value["e"])
	if err != nil {
		return PublicKey{}, fmt.Errorf("jwk: e: %w", err)
	}
	if len(n) == 0 || n[0] == 0 || len(e) == 0 || e[0] == 0 || len(e) > 4 {
		return PublicKey{}, errors.New("jwk: n and e must be positive, without leading zeros, e below 2^31")
	}
	return NewPublicKey(&rsa.PublicKey{
		N: new(big.Int).SetBytes(n),
		E: int(new(big.Int).SetBytes(e).Int64()),
	})
}
