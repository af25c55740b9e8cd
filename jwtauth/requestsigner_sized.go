package jwtauth

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
)

// SignSized is [RequestSigner.Sign] for a request whose size says nothing: the
// body gets as many zeros behind it as make token and body together exactly size
// bytes, since the digits of a counter and of a moment are not always as many.
// The padded body is what the token is for; it shares r.Body's array where that
// has room. The error is also that size is too small; then a counter is lost,
// which is harmless.
func (s *RequestSigner) SignSized(ctx context.Context, issued NumericDate, r Request, size int) (token string, body []byte, err error) {
	counter, err := s.take(issued)
	if err != nil {
		return "", nil, err
	}
	w := scratches.Get().(*scratch)
	defer scratches.Put(w)
	m := s.mac.Load()
	pad := size - s.tokenSize(w, m != nil, issued, counter) - len(r.Body)
	if pad < 0 {
		return "", nil, fmt.Errorf("sign a request: token and body take %d bytes more than the %d that they may", -pad, size)
	}
	end := len(r.Body)
	r.Body = append(r.Body, make([]byte, pad)...)
	clear(r.Body[end:])
	if m != nil {
		token, err = s.signTagged(w, m, issued, counter, r, "")
	} else {
		token, err = s.signSigned(ctx, w, issued, counter, r, "")
	}
	return token, r.Body, err
}

// tokenSize is the length of a token before it is made.
func (s *RequestSigner) tokenSize(w *scratch, tagged bool, issued NumericDate, counter uint64) int {
	w.text = appendRequestClaims(w.text[:0], issued, counter)
	const bm, rh, end = `,"bm":""`, `,"rh":""`, `}`
	strict := base64.RawURLEncoding
	if tagged {
		claims := len(w.text) + len(bm) + strict.EncodedLen(tagSize) + len(end)
		return len(s.tagged) + strict.EncodedLen(claims) + 1 + strict.EncodedLen(sha256.Size)
	}
	claims := len(w.text) + len(rh) + thumbprintLength + len(end)
	return len(s.signed) + strict.EncodedLen(claims) + 1 + strict.EncodedLen(ed25519SignatureSize)
}

// ed25519SignatureSize is that of every signature of a session key.
const ed25519SignatureSize = 64
