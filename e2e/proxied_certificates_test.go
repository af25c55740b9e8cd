package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"path/filepath"
	"time"
)

// trustHostKey gives the proxy the agent's certificate, as the README says.
func (p *proxied) trustHostKey() {
	p.t.Helper()
	text := p.run0(agentBin, "keys", "certificate", filepath.Join(p.dir, "state", "host_key"))
	p.write(filepath.Join(p.proxyDir, "shellagent-host.pem"), text)
}

// makeCertificates makes an authority and the proxy's certificate: as two files
// and, for HAProxy, as one.
func (p *proxied) makeCertificates() {
	p.t.Helper()
	caKey, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "an authority of the test's own"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: proxyName}, DNSNames: []string{proxyName},
		NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		p.t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, caKey)
	if err != nil {
		p.t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		p.t.Fatal(err)
	}
	chain, private := pemOf("CERTIFICATE", der), pemOf("PRIVATE KEY", keyDER)
	name := filepath.Join(p.proxyDir, "tls", proxyName)
	p.write(p.ca, pemOf("CERTIFICATE", caDER))
	p.write(name+".crt", chain)
	p.write(name+".key", private)
	p.write(name+".pem", chain+private)
}

func pemOf(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}
