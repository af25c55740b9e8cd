package sink

import (
	"crypto/tls"
	"fmt"
	"os"
	"strings"
)

// tlsConfig is for connections to a server by its name. Certificates of the
// client are read for every connection, so that they may be renewed.
func (c Config) tlsConfig(server string) (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: server}
	if c.CAPath != "" {
		pool, err := authorities(c.CAPath)
		if err != nil {
			return nil, err
		}
		t.RootCAs = pool
	}
	if c.CertPath != "" {
		t.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(c.CertPath, c.KeyPath)
			return &pair, err
		}
	}
	return t, nil
}

// maxSecret bounds a token or password in bytes.
const maxSecret = 16 << 10

// secret reads a file with one line.
func secret(path string) (string, error) {
	b, err := os.ReadFile(path)
	text := strings.TrimRight(string(b), "\r\n")
	switch {
	case err != nil:
		return "", err
	case text == "" || len(text) > maxSecret || strings.ContainsAny(text, "\r\n\x00"):
		return "", fmt.Errorf("%s: it has not exactly one line", path)
	}
	return text, nil
}
