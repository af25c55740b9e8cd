package jwtauth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strings"
)

// RequestHash binds a token to one request (claim rh): the base64url SHA-256 of
//
//	method LF target LF base64url(SHA-256(body))
//
// with target the raw request target below the agent's base path, byte for
// byte. The result has 43 characters. It is "", which no token matches, when
// method or target have a line break.
func RequestHash(method, target string, body []byte) string {
	return RequestHashSum(method, target, sha256.Sum256(body))
}

// RequestHashSum is [RequestHash] for a body that was hashed as it arrived.
func RequestHashSum(method, target string, bodySum [sha256.Size]byte) string {
	if strings.IndexByte(method, '\n') >= 0 || strings.IndexByte(target, '\n') >= 0 {
		return ""
	}
	var stack [256]byte
	b := append(stack[:0], method...)
	b = append(b, '\n')
	b = append(b, target...)
	b = append(b, '\n')
	b = base64.RawURLEncoding.AppendEncode(b, bodySum[:])
	return encodeSum(sha256.Sum256(b))
}

// encodeSum returns 43 base64url characters.
func encodeSum(sum [sha256.Size]byte) string {
	var text [thumbprintLength]byte
	base64.RawURLEncoding.Encode(text[:], sum[:])
	return string(text[:])
}

// NewID returns 128 random bits as 22 base64url characters: an identity
// token's jti.
func NewID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails (Go 1.24)
	return base64.RawURLEncoding.EncodeToString(b[:])
}
