package targets

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"shellagent/jwtauth"
)

// verifier judges the certificates of one target.
type verifier struct {
	target Target
	file   string
	// pinned is the settled host key; zero until there is one.
	pinned jwtauth.PublicKey
	known  []KnownHost
	// next is the key that follows the pinned one, once that was announced.
	next atomic.Pointer[jwtauth.PublicKey]
	// roots are those of CAPath; nil means the system's.
	roots *x509.CertPool
	// authority: the last connection was accepted for its chain and name.
	authority atomic.Bool
}

func newVerifier(target Target, file string) (*verifier, error) {
	v := &verifier{target: target, file: file}
	if target.CAPath == "" {
		return v, nil
	}
	pem, err := os.ReadFile(target.CAPath)
	if err != nil {
		return nil, fmt.Errorf("certificate authorities: %w", err)
	}
	v.roots = x509.NewCertPool()
	if !v.roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("certificate authorities: %s has no certificate in PEM form", target.CAPath)
	}
	return v, nil
}

// verify is for tls.Config.VerifyConnection once a key is pinned: the leaf is
// signed by that key, or chain and name verify.
func (v *verifier) verify(state tls.ConnectionState) error {
	key, hostErr := jwtauth.HostKeyOf(state.PeerCertificates, time.Now())
	if hostErr == nil && (key.Equal(v.pinned) || v.follows(key)) {
		v.authority.Store(false)
		return nil
	}
	caErr := v.verifyChain(state)
	if caErr == nil {
		v.authority.Store(true)
		return nil
	}
	if hostErr != nil {
		return &CertificateError{Target: v.target, Err: caErr}
	}
	if v.target.Fingerprint != "" {
		return &FingerprintError{Target: v.target, Presented: key}
	}
	return v.changed(key)
}

// follows says whether the agent announced the key to follow the pinned one.
func (v *verifier) follows(key jwtauth.PublicKey) bool {
	next := v.next.Load()
	return next != nil && next.Equal(key)
}

// identify says who answers at first contact: an agent with this host key, or
// (vouched) somebody whose chain and name verify. A given CAPath is asked
// first; the system's authorities, whose loading takes time, last.
func (v *verifier) identify(state tls.ConnectionState) (key jwtauth.PublicKey, vouched bool, err error) {
	if v.roots != nil && v.verifyChain(state) == nil {
		return key, true, nil
	}
	if key, err = jwtauth.HostKeyOf(state.PeerCertificates, time.Now()); err == nil {
		return key, false, nil
	}
	if err := v.verifyChain(state); err != nil {
		return key, false, &CertificateError{Target: v.target, Err: err}
	}
	return key, true, nil
}

// authorityOnly accepts the target for its chain and name alone.
func (v *verifier) authorityOnly() *tls.Config { return baseTLS(v.target, v.verifyChain) }

func (v *verifier) verifyChain(state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		return errors.New("no certificate")
	}
	intermediates := x509.NewCertPool()
	for _, c := range state.PeerCertificates[1:] {
		intermediates.AddCert(c)
	}
	_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{
		DNSName:       serverName(v.target),
		Roots:         v.roots,
		Intermediates: intermediates,
	})
	return err
}

func (v *verifier) knows(key jwtauth.PublicKey) bool {
	for _, k := range v.known {
		if k.Key.Equal(key) {
			return true
		}
	}
	return false
}

// announced says whether a known key is so because it was announced.
func (v *verifier) announced(key jwtauth.PublicKey) bool {
	for _, k := range v.known {
		if k.Key.Equal(key) && k.NextOf != "" {
			return true
		}
	}
	return false
}

func (v *verifier) changed(key jwtauth.PublicKey) error {
	return &ChangedHostKeyError{Target: v.target, Presented: key, Known: v.known, File: v.file}
}

// serverName is the host without an IPv6 zone, which means nothing elsewhere.
func serverName(target Target) string {
	name, _, _ := strings.Cut(target.BaseURL.Hostname(), "%")
	return name
}
