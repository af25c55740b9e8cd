package agent

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"

	"shellagent/broker"
	"shellagent/config"
)

// readCertificate reads a certificate chain and its key, both PEM, for TLS. The
// key file must not be open to others.
func readCertificate(certPath, keyPath string) (*broker.Certificate, error) {
	certPEM, err := config.ReadTrusted(certPath)
	if err != nil {
		return nil, fmt.Errorf("listen.certPath: %w", err)
	}
	keyPEM, err := config.ReadTrusted(keyPath)
	if err != nil {
		return nil, fmt.Errorf("listen.keyPath: %w", err)
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("listen.certPath %s and keyPath %s: %w", certPath, keyPath, err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		return nil, fmt.Errorf("listen.keyPath %s: %w", keyPath, err)
	}
	return &broker.Certificate{Chain: pair.Certificate, Key: key}, nil
}
