package front

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"testing"
	"time"

	"shellagent/broker"
)

func TestHandshakesTakeTurns(t *testing.T) {
	g := newGuests(t, 16)
	turns := broker.NewTurns(1, 0)
	cert := configured(t)
	key, err := x509.ParsePKCS8PrivateKey(cert.Key)
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{
		Certificates:       []tls.Certificate{{Certificate: cert.Chain, PrivateKey: key}},
		GetConfigForClient: handshakes{turns}.hello,
	}
	begin := func(from string) (far net.Conn, server <-chan error, client <-chan error) {
		who := g.come(from)
		s, c := make(chan error, 1), make(chan error, 1)
		go func() { s <- tls.Server(who.near, config).Handshake() }()
		go func() { c <- tls.Client(who.far, &tls.Config{InsecureSkipVerify: true}).Handshake() }()
		return who.far, s, c
	}
	waits := func(done <-chan error) {
		t.Helper()
		select {
		case err := <-done:
			t.Fatalf("a handshake did not wait for its turn: %v", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
	if err := turns.Take(context.Background(), (&net.TCPAddr{IP: net.IPv4(127, 0, 1, 1)}).AddrPort().Addr(), false); err != nil {
		t.Fatal(err)
	}
	_, server, client := begin("127.0.1.1")
	waits(server)
	// Whoever hangs up while it waits, or after it had its turn, keeps none.
	far, gone, _ := begin("127.0.1.2")
	waits(gone)
	far.Close()
	turns.Done()
	for _, done := range []<-chan error{server, client} {
		if err := <-done; err != nil {
			t.Errorf("handshake: %v", err)
		}
	}
	<-gone
	for i := range 10 {
		_, server, client := begin("127.0.1.3")
		if err := <-client; err != nil {
			t.Fatalf("handshake %d: %v", i, err)
		}
		<-server
	}
	if !turns.TryTake(false) {
		t.Error("a turn was lost")
	}
}
