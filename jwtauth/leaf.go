package jwtauth

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"time"
)

const (
	// LeafName is the DNS name in every leaf, for a proxy that insists on one
	// while it trusts the host certificate alone.
	LeafName = "shellagent"
	// MaxLeafLifetime bounds how long a stolen leaf key can pose as the host.
	MaxLeafLifetime = 24 * time.Hour
	// leafBackdate lets clients in whose clock is up to a day behind. It costs
	// nothing: only the end bounds what a stolen key is good for.
	leafBackdate = 24 * time.Hour
)

// SignLeaf makes a certificate for a TLS handshake key, signed by the host key
// and valid from a day before now to lifetime after it (0 < lifetime <= 24 h). chain
// is the leaf and then the host certificate, in DER. The host key itself never
// takes part in a handshake.
func SignLeaf(host *PrivateKey, leafPublic *ecdsa.PublicKey, now time.Time, lifetime time.Duration) (chain [][]byte, err error) {
	if lifetime <= 0 || lifetime > MaxLeafLifetime {
		return nil, fmt.Errorf("leaf certificate: a lifetime of %s is not within (0, %s]", lifetime, MaxLeafLifetime)
	}
	hostDER, err := HostCertificate(host)
	if err != nil {
		return nil, err
	}
	hostCert, err := x509.ParseCertificate(hostDER)
	if err != nil {
		return nil, fmt.Errorf("host certificate: %w", err)
	}
	serial := make([]byte, 16)
	rand.Read(serial)
	serial[0] = serial[0]&0x7f | 0x40
	template := &x509.Certificate{
		SerialNumber:          new(big.Int).SetBytes(serial),
		Subject:               pkix.Name{CommonName: LeafName},
		DNSNames:              []string{LeafName},
		NotBefore:             now.Add(-leafBackdate),
		NotAfter:              now.Add(lifetime),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, template, hostCert, leafPublic, host.Crypto())
	if err != nil {
		return nil, fmt.Errorf("leaf certificate: %w", err)
	}
	return [][]byte{leafDER, hostDER}, nil
}

// HostCertificate returns the host key's self-signed certificate in DER. For
// an Ed25519 or RSA key it is the same whenever it is made, so that a proxy can
// be given it as the one it trusts.
func HostCertificate(host *PrivateKey) ([]byte, error) {
	public := host.PublicKey()
	serial := sha256.Sum256([]byte(public.Thumbprint()))
	serial[0] = serial[0]&0x7f | 0x40
	template := &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial[:16]),
		Subject:      pkix.Name{CommonName: "shellagent host key " + public.Thumbprint()},
		// The pin is what is trusted, and pins do not expire (RFC 5280 §4.1.2.5).
		NotBefore:             time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:              time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		KeyUsage:              x509.KeyUsageCertSign,
		IsCA:                  true,
		MaxPathLenZero:        true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public.Crypto(), host.Crypto())
	if err != nil {
		return nil, fmt.Errorf("host certificate: %w", err)
	}
	return der, nil
}

// HostKeyOf returns the host key that a TLS peer proved: certs are its leaf,
// whose key took part in the handshake, and a self-signed host certificate
// whose key signed that leaf. The leaf must be for a server, not a CA and valid
// now. Whether the key is the expected one is the caller's to compare.
func HostKeyOf(certs []*x509.Certificate, now time.Time) (PublicKey, error) {
	if len(certs) != 2 {
		return PublicKey{}, fmt.Errorf("the peer sent %d certificates instead of a leaf and a host certificate: it is not a Shell Agent, or a proxy ends TLS before it", len(certs))
	}
	leaf, host := certs[0], certs[1]
	key, err := NewPublicKey(host.PublicKey)
	if err != nil {
		return PublicKey{}, fmt.Errorf("host certificate: %w", err)
	}
	if err := host.CheckSignatureFrom(host); err != nil {
		return PublicKey{}, fmt.Errorf("host certificate is not self-signed: %w", err)
	}
	if err := leaf.CheckSignatureFrom(host); err != nil {
		return PublicKey{}, fmt.Errorf("leaf certificate is not signed by the host key: %w", err)
	}
	if err := checkLeaf(leaf, now); err != nil {
		return PublicKey{}, err
	}
	if leafKey, err := NewPublicKey(leaf.PublicKey); err == nil && leafKey.Equal(key) {
		return PublicKey{}, errors.New("leaf certificate has the host key itself: the host key must stay out of handshakes")
	}
	return key, nil
}

func checkLeaf(leaf *x509.Certificate, now time.Time) error {
	switch {
	case leaf.IsCA || !leaf.BasicConstraintsValid:
		return errors.New("leaf certificate is a certificate authority's")
	case len(leaf.UnhandledCriticalExtensions) != 0:
		return errors.New("leaf certificate has unknown critical extensions")
	case len(leaf.ExtKeyUsage) != 1 || leaf.ExtKeyUsage[0] != x509.ExtKeyUsageServerAuth || len(leaf.UnknownExtKeyUsage) != 0:
		return errors.New("leaf certificate is not for a server")
	case leaf.NotAfter.Sub(leaf.NotBefore) > MaxLeafLifetime+leafBackdate:
		return fmt.Errorf("leaf certificate lives longer than %s", MaxLeafLifetime)
	case now.Before(leaf.NotBefore) || now.After(leaf.NotAfter):
		return fmt.Errorf("leaf certificate is valid from %s to %s and this machine's clock says %s: set the clocks right",
			leaf.NotBefore.UTC().Format(time.RFC3339), leaf.NotAfter.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	return nil
}
