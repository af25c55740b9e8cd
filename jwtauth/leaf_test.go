package jwtauth_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"shellagent/jwtauth"
)

func leafKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func parseChain(t *testing.T, chain [][]byte) []*x509.Certificate {
	t.Helper()
	var certs []*x509.Certificate
	for _, der := range chain {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		certs = append(certs, cert)
	}
	return certs
}

func TestLeafProvesTheHostKey(t *testing.T) {
	now := time.Now()
	for name, host := range keysOfEachKind(t) {
		chain, err := jwtauth.SignLeaf(host, &leafKey(t).PublicKey, now, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		got, err := jwtauth.HostKeyOf(parseChain(t, chain), now)
		if err != nil || !got.Equal(host.PublicKey()) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Over real TLS, pinned as a client pins.
func TestLeafInAHandshake(t *testing.T) {
	host, key := newKey(t), leafKey(t)
	chain, err := jwtauth.SignLeaf(host, &key.PublicKey, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	server, client := net.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- tls.Server(server, &tls.Config{
			Certificates: []tls.Certificate{{Certificate: chain, PrivateKey: key}}, MinVersion: tls.VersionTLS13,
		}).Handshake()
		server.Close()
	}()
	var got jwtauth.PublicKey
	err = tls.Client(client, &tls.Config{
		InsecureSkipVerify: true, // VerifyConnection judges
		VerifyConnection: func(state tls.ConnectionState) (err error) {
			got, err = jwtauth.HostKeyOf(state.PeerCertificates, time.Now())
			return err
		},
	}).Handshake()
	client.Close()
	if err != nil || !got.Equal(host.PublicKey()) {
		t.Errorf("handshake: %v", err)
	}
	<-done
}

// What a proxy does that trusts the host certificate and checks the name.
func TestLeafVerifiesWithOpenSSL(t *testing.T) {
	host := newKey(t)
	dir := t.TempDir()
	chain, err := jwtauth.SignLeaf(host, &leafKey(t).PublicKey, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"leaf", "host"} {
		if err := os.WriteFile(filepath.Join(dir, name), chain[i], 0o600); err != nil {
			t.Fatal(err)
		}
		run(t, "openssl", "x509", "-inform", "DER", "-in", filepath.Join(dir, name), "-out", filepath.Join(dir, name+".pem"))
	}
	run(t, "openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", jwtauth.LeafName,
		"-CAfile", filepath.Join(dir, "host.pem"), filepath.Join(dir, "leaf.pem"))
	again, err := jwtauth.HostCertificate(host)
	if err != nil || !bytes.Equal(again, chain[1]) {
		t.Errorf("the host certificate changes: %v", err)
	}
}

func TestHostKeyOfRefuses(t *testing.T) {
	now := time.Now()
	host, other, key := newKey(t), newKey(t), leafKey(t)
	chain := func(h *jwtauth.PrivateKey, at time.Time) []*x509.Certificate {
		c, err := jwtauth.SignLeaf(h, &key.PublicKey, at, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return parseChain(t, c)
	}
	good, foreign := chain(host, now), chain(other, now)
	custom := func(change func(*x509.Certificate)) []*x509.Certificate {
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "x"}, BasicConstraintsValid: true,
			NotBefore: now.Add(-time.Minute), NotAfter: now.Add(time.Hour),
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		}
		change(template)
		der, err := x509.CreateCertificate(rand.Reader, template, good[1], &key.PublicKey, host.Crypto())
		if err != nil {
			t.Fatal(err)
		}
		return []*x509.Certificate{parseChain(t, [][]byte{der})[0], good[1]}
	}
	hostAsLeaf := custom(func(*x509.Certificate) {})
	der, err := x509.CreateCertificate(rand.Reader, hostAsLeaf[0], good[1], host.PublicKey().Crypto(), host.Crypto())
	if err != nil {
		t.Fatal(err)
	}
	hostAsLeaf[0] = parseChain(t, [][]byte{der})[0]
	for name, c := range map[string]struct {
		certs []*x509.Certificate
		want  string
	}{
		"nothing":             {nil, "0 certificates"},
		"leaf alone":          {good[:1], "1 certificates"},
		"three":               {append(good[:2:2], foreign[1]), "3 certificates"},
		"swapped":             {[]*x509.Certificate{good[1], good[0]}, "self-signed"},
		"host cert of others": {[]*x509.Certificate{foreign[0], good[1]}, "not signed by the host key"},
		"host cert twice":     {[]*x509.Certificate{good[1], good[1]}, "authority"},
		"expired":             {chain(host, now.Add(-2*time.Hour)), "clock"},
		"not yet valid":       {chain(host, now.Add(25*time.Hour)), "clock"},
		"authority":           {custom(func(c *x509.Certificate) { c.IsCA = true; c.KeyUsage = x509.KeyUsageCertSign }), "authority"},
		"for clients":         {custom(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }), "not for a server"},
		"for anything":        {custom(func(c *x509.Certificate) { c.ExtKeyUsage = nil }), "not for a server"},
		"lives for years":     {custom(func(c *x509.Certificate) { c.NotAfter = now.AddDate(5, 0, 0) }), "lives longer"},
		"critical extension": {custom(func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: []int{1, 2, 3}, Critical: true, Value: []byte{5, 0}}}
		}), "critical"},
		"the host key itself": {hostAsLeaf, "host key itself"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := jwtauth.HostKeyOf(c.certs, now)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	t.Run("client a day behind", func(t *testing.T) {
		if _, err := jwtauth.HostKeyOf(good, now.Add(-23*time.Hour)); err != nil {
			t.Error(err)
		}
	})
}

func TestSignLeafBoundsTheLifetime(t *testing.T) {
	for _, d := range []time.Duration{0, -time.Second, 24*time.Hour + 1} {
		if _, err := jwtauth.SignLeaf(newKey(t), &leafKey(t).PublicKey, time.Now(), d); err == nil {
			t.Errorf("signed for %s", d)
		}
	}
}
