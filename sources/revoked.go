package sources

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"shellagent/jwtauth"
)

// revocations are the keys that open nothing.
type revocations struct {
	thumbprints  map[string]bool
	fingerprints map[string]bool // OpenSSH's, "SHA256:" and 43 characters
}

func (r revocations) has(k jwtauth.PublicKey) bool {
	return r.thumbprints[k.Thumbprint()] ||
		len(r.fingerprints) > 0 && r.fingerprints[k.OpenSSHFingerprint()]
}

// LostKey is a key that opened something under another policy, and nothing now.
type LostKey struct {
	Thumbprint string
	Subject    string // under the other policy
	// Revoked says that revokedKeys has it; otherwise it is in no list any more.
	Revoked bool
}

// Lost returns the keys that before listed and did not revoke, and that p revokes
// or does not list, in the order of their thumbprints.
func (p *Policy) Lost(before *Policy) []LostKey {
	var lost []LostKey
	for _, kid := range slices.Sorted(maps.Keys(before.keys)) {
		key := before.keys[kid]
		if before.revoked.has(key) {
			continue
		}
		_, listed := p.keys[kid]
		if revoked := p.revoked.has(key); revoked || !listed {
			lost = append(lost, LostKey{kid, before.subjects[kid], revoked})
		}
	}
	return lost
}

func (b *builder) revocations() {
	b.policy.revoked = revocations{thumbprints: make(map[string]bool), fingerprints: make(map[string]bool)}
	for i, text := range b.config.RevokedKeys {
		b.bad("/revokedKeys/"+strconv.Itoa(i), b.policy.revoked.add(text))
	}
	if b.config.RevokedKeysFile == "" {
		return
	}
	path := b.path(b.config.RevokedKeysFile)
	b.policy.files = append(b.policy.files, path)
	for _, l := range b.lines("/revokedKeysFile", path) {
		if err := b.policy.revoked.add(l.text); err != nil {
			b.bad("/revokedKeysFile", fmt.Errorf("%s:%d: %w", path, l.number, err))
		}
	}
}

// add takes a thumbprint, an OpenSSH fingerprint or a key. Anything else is a
// mistake: a revocation that matches nothing would be believed to hold.
func (r revocations) add(text string) error {
	text = strings.TrimSpace(text)
	if fingerprint, ok := strings.CutPrefix(text, "SHA256:"); ok {
		fingerprint = strings.TrimRight(fingerprint, "=")
		if !isHash(base64.RawStdEncoding, fingerprint) {
			return fmt.Errorf("%q is not an OpenSSH fingerprint; copy it whole from ssh-keygen -l", text)
		}
		r.fingerprints["SHA256:"+fingerprint] = true
		return nil
	}
	if isHash(base64.RawURLEncoding, text) {
		r.thumbprints[text] = true
		return nil
	}
	key, _, err := jwtauth.ParsePublicKey(text)
	if err != nil {
		return fmt.Errorf("%.100q names no key; give a thumbprint, SHA256:… from ssh-keygen -l, or the key's line", text)
	}
	r.thumbprints[key.Thumbprint()] = true
	return nil
}

func isHash(encoding *base64.Encoding, text string) bool {
	sum, err := encoding.Strict().DecodeString(text)
	return err == nil && len(sum) == 32 && len(text) == 43
}
