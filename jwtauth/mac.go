package jwtauth

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"strings"
	"sync"
)

const (
	macKeySize = 32 // of HMAC-SHA-256 and of AES-256
	tagSize    = 16
	nonceBytes = 12 // of GCM
)

// MAC is what a client and its agent agreed on for one session key, so that a
// keystroke costs no signature and bulk input no SHA-256: request tokens are
// HS256 (RFC 7518 §3.2) under the one key, and the bm claim is the tag of
// AES-256-GCM (SP 800-38D) over method, target and body under the other. Both
// come from X25519 between the identity token and the host token that answered
// it, so that who carries the requests knows neither.
//
// GCM is broken by a nonce that is used for two messages. The nonce is the
// token's counter, which on the client is only ever taken inside of
// [RequestSigner.Sign]; an agent compares one tag at most for each counter:
// [Window.Take] comes before [Token.CheckRequest].
//
// A nil MAC refuses every token: none was agreed. It is safe for concurrent use.
type MAC struct {
	kid  string // thumbprint of the session key that it stands in for
	keys macKeys
	body cipher.AEAD

	mu    sync.Mutex
	token hash.Hash // keyed once: HMAC hashes its key for every use else
}

// macKeys are one key per purpose.
type macKeys struct {
	token, body [macKeySize]byte
}

func newMAC(kid string, keys macKeys) (*MAC, error) {
	block, err := aes.NewCipher(keys.body[:])
	if err != nil {
		return nil, fmt.Errorf("mac: %w", err)
	}
	body, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("mac: %w", err)
	}
	return &MAC{kid: kid, keys: keys, body: body, token: hmac.New(sha256.New, keys.token[:])}, nil
}

// String names the key that the MAC stands in for and nothing else, whoever
// prints it.
func (m *MAC) String() string { return "mac of " + m.kid }

// Verify is [Unverified.Verify] for a token under m. What it returns has to be
// taken by the session's [Window] before its request can be checked.
func (m *MAC) Verify(u Unverified) (*Token, error) {
	if m == nil || u.Alg != AlgHS256 {
		VerifyDummy(u)
		return nil, refuse(ReasonAlgorithm, fmt.Errorf("the token says %s, no MAC was agreed for its key", u.Alg))
	}
	if err := m.verify(u); err != nil {
		return nil, err
	}
	if u.Kid != m.kid {
		return nil, refuse(ReasonSignature, errors.New("the kid is another key's"))
	}
	t, err := u.decode()
	if err != nil {
		return nil, err
	}
	t.mac = m
	return t, nil
}

func (m *MAC) verify(u Unverified) error {
	encoded := u.raw[u.sigStart:]
	if len(encoded) != strictURL.EncodedLen(sha256.Size) {
		return refuse(ReasonSignature, errSignature)
	}
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	sig, err := appendDecoded(s.sum[:0], encoded)
	if err != nil {
		return refuse(ReasonMalformed, fmt.Errorf("signature: %w", err))
	}
	s.text = append(s.text[:0], u.raw[:u.sigStart-1]...)
	s.out = m.appendSum(s.out[:0], s.text)
	if !hmac.Equal(s.out, sig) {
		return refuse(ReasonSignature, errSignature)
	}
	return nil
}

// appendSum appends the HMAC of a signing input.
func (m *MAC) appendSum(dst, signingInput []byte) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.token.Reset()
	m.token.Write(signingInput)
	return m.token.Sum(dst)
}

var errLineBreak = errors.New("method or target have a line break")

// tag is the tag of AES-256-GCM with the counter as the nonce, method LF target
// as the plaintext and the body as additional data, which costs a hash in
// hardware and no copy. The ciphertext is used for nothing.
func (m *MAC) tag(s *scratch, counter uint64, method, target string, body []byte) (tag [tagSize]byte, err error) {
	if strings.IndexByte(method, '\n') >= 0 || strings.IndexByte(target, '\n') >= 0 {
		return tag, errLineBreak
	}
	binary.BigEndian.PutUint64(s.nonce[nonceBytes-8:], counter)
	s.text = append(append(append(s.text[:0], method...), '\n'), target...)
	s.out = m.body.Seal(s.out[:0], s.nonce[:], s.text, body)
	copy(tag[:], s.out[len(s.text):])
	return tag, nil
}

// check compares a token's tag with that of a request.
func (m *MAC) check(counter uint64, encoded, method, target string, body []byte) error {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	claimed, err := appendStrict(s.sum[:0], encoded)
	if err != nil || len(claimed) != tagSize {
		return refuse(ReasonClaims, errors.New("bm is not a base64url tag of 16 bytes"))
	}
	tag, err := m.tag(s, counter, method, target, body)
	if err != nil {
		return refuse(ReasonRequestHash, err)
	}
	if subtle.ConstantTimeCompare(tag[:], claimed) != 1 {
		return refuse(ReasonRequestHash, fmt.Errorf("not made for this %s %s and body", method, target))
	}
	return nil
}

// scratch is room for what a token is made and checked with; what goes through
// an interface would be allocated each time.
type scratch struct {
	text, out []byte
	sum       [64]byte
	nonce     [nonceBytes]byte // the first four bytes stay zero
}

var scratches = sync.Pool{New: func() any {
	return &scratch{text: make([]byte, 0, 512), out: make([]byte, 0, 1024)}
}}

// MACState is a [MAC] on its way between two images of the agent. It is secret.
type MACState struct {
	Token []byte `json:"token"`
	Body  []byte `json:"body"`
}

// State returns the keys, or nil for a nil MAC.
func (m *MAC) State() *MACState {
	if m == nil {
		return nil
	}
	return &MACState{Token: m.keys.token[:], Body: m.keys.body[:]}
}

// RestoreMAC makes the MAC of a session key of what [MAC.State] returned: nil of
// nil. The error is that the keys are not two of 32 bytes.
func RestoreMAC(session PublicKey, st *MACState) (*MAC, error) {
	if st == nil {
		return nil, nil
	}
	if len(st.Token) != macKeySize || len(st.Body) != macKeySize || session.IsZero() {
		return nil, fmt.Errorf("mac: keys of %d and %d bytes instead of %d", len(st.Token), len(st.Body), macKeySize)
	}
	var keys macKeys
	copy(keys.token[:], st.Token)
	copy(keys.body[:], st.Body)
	return newMAC(session.Thumbprint(), keys)
}

// appendTag appends 22 base64url characters.
func appendTag(dst []byte, tag [tagSize]byte) []byte {
	return base64.RawURLEncoding.AppendEncode(dst, tag[:])
}
