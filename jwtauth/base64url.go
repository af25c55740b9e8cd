package jwtauth

import (
	"encoding/base64"
	"errors"
)

// strictURL refuses stray trailing bits. It would still skip line breaks
// wherever they stand, which isBase64URL is there to catch.
var strictURL = base64.RawURLEncoding.Strict()

var errBase64URL = errors.New("not strict base64url without padding")

// isBase64URL says that s holds characters of RFC 4648 §5 only.
func isBase64URL(s string) bool {
	for i := 0; i < len(s); i++ {
		if !urlAlphabet[s[i]] {
			return false
		}
	}
	return true
}

var urlAlphabet = func() (set [256]bool) {
	for _, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_" {
		set[c] = true
	}
	return set
}()

func decodeStrict(s string) ([]byte, error) {
	return appendStrict(nil, s)
}

// appendStrict appends the bytes that s encodes. It allocates nothing when dst
// has the room.
func appendStrict(dst []byte, s string) ([]byte, error) {
	if !isBase64URL(s) {
		return nil, errBase64URL
	}
	return appendDecoded(dst, s)
}

// appendDecoded is appendStrict for what isBase64URL, as the parts of a token
// that was parsed.
func appendDecoded(dst []byte, s string) ([]byte, error) {
	dst, err := strictURL.AppendDecode(dst, []byte(s))
	if err != nil {
		return nil, errBase64URL
	}
	return dst, nil
}
