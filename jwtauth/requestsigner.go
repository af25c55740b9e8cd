package jwtauth

import (
	"context"
	"crypto/ecdh"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// Request is what a request token is made for: see [RequestHash] for method and
// target. The body may be large; it is only read.
type Request struct {
	Method, Target string
	Body           []byte
}

// RequestSigner makes the request tokens of one session key, under the MAC that
// was agreed for it if there is one. It is safe for concurrent use.
//
// The counter lives here and each token takes the next, so that none is used
// twice, whatever becomes of a token: a request that is sent again is signed
// again. There must be one RequestSigner for a key, and no copy of it.
type RequestSigner struct {
	key     *PrivateKey
	signed  string // encoded headers, each with its dot
	tagged  string
	counter atomic.Uint64
	mac     atomic.Pointer[MAC]

	mu    sync.Mutex
	share *ecdh.PrivateKey // from Offer to Agree
}

// maxCounter is where a signer ends, far from where the counter would.
const maxCounter = 1 << 63

// NewRequestSigner returns the signer of a fresh session key.
func NewRequestSigner(key *PrivateKey) *RequestSigner {
	kid := key.public.Thumbprint()
	return &RequestSigner{
		key:    key,
		signed: encodeHeader(key.public.Alg(), TypeRequest, kid),
		tagged: encodeHeader(AlgHS256, TypeRequest, kid),
	}
}

func encodeHeader(alg string, t Type, kid string) string {
	return base64.RawURLEncoding.EncodeToString(appendHeader(nil, alg, t, kid)) + "."
}

// PublicKey is the session key.
func (s *RequestSigner) PublicKey() PublicKey { return s.key.public }

// Offer returns the share that asks for a MAC, for the identity token that names
// the session key: the same one until Agree.
func (s *RequestSigner) Offer() (share string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.share == nil {
		if s.share, err = newShare(); err != nil {
			return "", err
		}
	}
	return claimOfShare(s.share), nil
}

// Agree looks at the host token that answered the identity token with the offer.
// The caller has verified it, for this session key, this session and this very
// identity token. If the agent agreed, tokens are made under the MAC from here
// on; if it did not, nothing changes. The error says that what the agent signed
// leads to no secret.
func (s *RequestSigner) Agree(host *Token) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.share == nil || host.Claims.Share == "" {
		return nil
	}
	kid := s.key.public.Thumbprint()
	if host.Type != TypeHost || host.Claims.Audience != kid {
		return errors.New("mac: the agent's token is for another key")
	}
	m, err := agree(s.share, host.Claims.Share, kid, terms{
		session: host.Claims.SessionID, open: host.Claims.OpenHash,
		client: claimOfShare(s.share), agent: host.Claims.Share,
	})
	if err != nil {
		return err
	}
	s.share = nil
	s.mac.Store(m)
	return nil
}

// Forgo gives the MAC up for good when the agent refused this token and it was
// made under one; then a token made anew may be taken. False means that it was
// signed by the key itself.
func (s *RequestSigner) Forgo(token string) bool {
	if !strings.HasPrefix(token, s.tagged) {
		return false
	}
	s.mac.Store(nil)
	return true
}

// Sign makes the token of one request, issued at a moment of the agent's clock.
// nonce is empty, or what the agent asked for.
func (s *RequestSigner) Sign(ctx context.Context, issued NumericDate, r Request, nonce string) (string, error) {
	if len(nonce) > maxNonce || !isBase64URL(nonce) {
		return "", errors.New("sign a request: the nonce has not the form of one")
	}
	counter, err := s.take(issued)
	if err != nil {
		return "", err
	}
	w := scratches.Get().(*scratch)
	defer scratches.Put(w)
	if m := s.mac.Load(); m != nil {
		return s.signTagged(w, m, issued, counter, r, nonce)
	}
	return s.signSigned(ctx, w, issued, counter, r, nonce)
}

// take takes the next counter, for a token of that moment.
func (s *RequestSigner) take(issued NumericDate) (uint64, error) {
	if issued < 0 || issued.Add(Lifetime) > maxDate {
		return 0, fmt.Errorf("sign a request: %w", errDate)
	}
	counter := s.counter.Add(1)
	if counter >= maxCounter {
		return 0, errors.New("sign a request: the session key has made all tokens that it can")
	}
	return counter, nil
}

func (s *RequestSigner) signTagged(w *scratch, m *MAC, issued NumericDate, counter uint64, r Request, nonce string) (string, error) {
	tag, err := m.tag(w, counter, r.Method, r.Target, r.Body)
	if err != nil {
		return "", fmt.Errorf("sign a request: %w", err)
	}
	b := appendRequestClaims(w.text[:0], issued, counter)
	b = appendText(b, "nonce", nonce)
	b = append(appendTag(append(b, `,"bm":"`...), tag), '"', '}')
	w.text = b
	w.out = appendInput(w.out[:0], s.tagged, b)
	sum := m.appendSum(w.sum[:0], w.out)
	return w.finish(sum), nil
}

func (s *RequestSigner) signSigned(ctx context.Context, w *scratch, issued NumericDate, counter uint64, r Request, nonce string) (string, error) {
	hash := RequestHash(r.Method, r.Target, r.Body)
	if hash == "" {
		return "", fmt.Errorf("sign a request: %w", errLineBreak)
	}
	b := appendRequestClaims(w.text[:0], issued, counter)
	b = appendText(b, "rh", hash)
	b = append(appendText(b, "nonce", nonce), '}')
	w.text = b
	w.out = appendInput(w.out[:0], s.signed, b)
	sig, err := s.key.Sign(ctx, w.out)
	if err != nil {
		return "", fmt.Errorf("sign a request: %w", err)
	}
	return w.finish(sig), nil
}

// appendRequestClaims begins the claims of a request token as [Sign] does.
func appendRequestClaims(b []byte, issued NumericDate, counter uint64) []byte {
	b = issued.appendJSON(append(b, `{"iat":`...))
	b = issued.Add(Lifetime).appendJSON(append(b, `,"exp":`...))
	b = strconv.AppendUint(append(b, `,"jti":"`...), counter, 10)
	return append(b, '"')
}

func appendInput(dst []byte, header string, payload []byte) []byte {
	return base64.RawURLEncoding.AppendEncode(append(dst, header...), payload)
}

// finish returns the token whose signing input is in out.
func (w *scratch) finish(sig []byte) string {
	w.out = base64.RawURLEncoding.AppendEncode(append(w.out, '.'), sig)
	return string(w.out)
}
