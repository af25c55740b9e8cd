package jwtauth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"time"
)

// nonceLifetime is how long a signer may take: somebody has to find the token
// and touch it.
const nonceLifetime = 60 * time.Second

// A nonce is base64url of 32 bytes: milliseconds since the guard's start, 8
// random bytes, and 16 bytes of HMAC-SHA-256 over both and the key it is for.
// Handing one out costs no memory; only used ones are remembered.
const (
	nonceStamp = 16
	nonceSize  = 32
)

// nonces makes and recognises nonces, until the end of the process.
type nonces struct {
	secret [sha256.Size]byte
}

func newNonces() *nonces {
	n := new(nonces)
	rand.Read(n.secret[:])
	return n
}

func (n *nonces) issue(kid string, elapsed time.Duration) string {
	var b [nonceSize]byte
	binary.BigEndian.PutUint64(b[:8], uint64(elapsed.Milliseconds()))
	rand.Read(b[8:nonceStamp])
	copy(b[nonceStamp:], n.mac(kid, b[:nonceStamp]))
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// check returns when the nonce was made, in time since the guard's start.
func (n *nonces) check(kid, nonce string, elapsed time.Duration) (made time.Duration, err error) {
	b, err := decodeStrict(nonce)
	if err != nil || len(b) != nonceSize ||
		!hmac.Equal(b[nonceStamp:], n.mac(kid, b[:nonceStamp])) {
		return 0, errors.New("the nonce was not made here for this key since the start")
	}
	// The stamp is ours, so it fits; elapsed never goes back.
	made = time.Duration(binary.BigEndian.Uint64(b[:8])) * time.Millisecond
	if elapsed-made >= nonceLifetime {
		return 0, errors.New("the nonce is older than 60 s")
	}
	return made, nil
}

func (n *nonces) mac(kid string, stamp []byte) []byte {
	h := hmac.New(sha256.New, n.secret[:])
	h.Write(stamp)
	h.Write([]byte(kid))
	return h.Sum(nil)[:nonceSize-nonceStamp]
}
