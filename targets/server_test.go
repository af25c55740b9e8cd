package targets

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"shellagent/jwtauth"
)

func hostKey(t *testing.T) *jwtauth.PrivateKey {
	t.Helper()
	key, err := jwtauth.GeneratePrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func leafKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// hostSigned is the certificate of an agent without a CA's.
func hostSigned(t *testing.T, host *jwtauth.PrivateKey) tls.Certificate {
	t.Helper()
	leaf := leafKey(t)
	chain, err := jwtauth.SignLeaf(host, &leaf.PublicKey, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: chain, PrivateKey: leaf}
}

// authoritySigned is a certificate for 127.0.0.1 and the file of its CA.
func authoritySigned(t *testing.T) (cert tls.Certificate, caPath string) {
	t.Helper()
	caKey, key := leafKey(t), leafKey(t)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		t.Fatal(err)
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, caKey)
	if err != nil {
		t.Fatal(err)
	}
	caPath = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(caPath, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, caPath
}

// serve completes handshakes until the test ends.
func serve(t *testing.T, cert tls.Certificate) Target {
	t.Helper()
	return serveWith(t, &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert}})
}

func serveWith(t *testing.T, conf *tls.Config) Target {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", conf)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
			_ = conn.(*tls.Conn).Handshake()
			conn.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	base, err := ParseHost(l.Addr().String(), 0)
	if err != nil {
		t.Fatal(err)
	}
	return Target{Name: "myhost", BaseURL: base}
}

// connect shakes hands with what a peer's settings allow.
func connect(t *testing.T, p *Peer) error {
	t.Helper()
	conn, err := tls.Dial("tcp", p.Target.BaseURL.Host, p.TLS)
	if err != nil {
		return err
	}
	return conn.Close()
}
