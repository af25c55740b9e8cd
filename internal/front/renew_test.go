package front

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"log/slog"
	"testing"
	"time"

	"shellagent/jwtauth"
)

// signs hands out the requests for leaves.
type signs chan *ecdsa.PublicKey

func (s signs) RequestLeaf(k *ecdsa.PublicKey) error {
	s <- k
	return nil
}

// A leaf of the next host key is asked for at once and shown when it comes; one
// of the key before, which was on its way, is not.
func TestLeafIsRenewedForAnotherHostKey(t *testing.T) {
	var hosts [2]*jwtauth.PrivateKey
	for i := range hosts {
		var err error
		if hosts[i], err = jwtauth.GeneratePrivateKey(); err != nil {
			t.Fatal(err)
		}
	}
	asks := make(signs, 1)
	l := newLeaf(asks, false, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	kept := make(chan struct{})
	go func() { defer close(kept); l.keep(ctx) }()
	defer func() { cancel(); <-kept }()
	answer := func(host *jwtauth.PrivateKey, key *ecdsa.PublicKey) {
		t.Helper()
		chain, err := jwtauth.SignLeaf(host, key, time.Now(), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		l.signed(chain)
	}
	shows := func(host *jwtauth.PrivateKey) bool {
		c := l.current.Load()
		cert, err := x509.ParseCertificate(c.Certificate[1])
		if err != nil {
			t.Fatal(err)
		}
		key, err := jwtauth.NewPublicKey(cert.PublicKey)
		return err == nil && key.Equal(host.PublicKey())
	}
	answer(hosts[0], <-asks)
	if !shows(hosts[0]) {
		t.Fatal("the first leaf is not shown")
	}
	l.renew()
	late := <-asks
	l.renew()
	answer(hosts[0], late)
	if l.untilRenewal() > 0 {
		t.Error("a leaf of the key before was taken for the next one")
	}
	for !shows(hosts[1]) { // it may be asked for more than once
		select {
		case key := <-asks:
			answer(hosts[1], key)
		case <-time.After(10 * time.Second):
			t.Fatal("the next leaf is not shown")
		}
	}
}
