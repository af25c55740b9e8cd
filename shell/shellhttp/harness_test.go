package shellhttp

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"sync"
	"testing"
	"time"

	"shellagent/jwtauth"
	"shellagent/shell"
)

// testServer is the front's half over real TLS.
type testServer struct {
	broker *testBroker
	addr   string
	tls    *tls.Config // a client's: trusts the host key

	mu      sync.Mutex
	refused []shell.Reason
}

func (s *testServer) count(reason shell.Reason, _ netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused = append(s.refused, reason)
}

// counted says how often a reason was counted.
func (s *testServer) counted(reason shell.Reason) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, r := range s.refused {
		if r == reason {
			n++
		}
	}
	return n
}

// serve runs the handler in front of b. change may alter its configuration.
func serve(t testing.TB, b *testBroker, change ...func(*HandlerConfig, *Handler)) *testServer {
	t.Helper()
	s := &testServer{broker: b}
	cfg := HandlerConfig{
		Caller: b, Refused: s.count, Log: slog.New(slog.DiscardHandler),
		Agent: func() []byte { return []byte(`{"version":1,"agent":"shellagent/test"}`) },
	}
	for _, f := range change {
		f(&cfg, nil)
	}
	h := NewHandler(cfg)
	for _, f := range change {
		f(&cfg, h)
	}
	leaf, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	chain, err := jwtauth.SignLeaf(b.host, &leaf.PublicKey, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	s.tls = pinned(b.host.PublicKey())
	server := NewServer(h, &tls.Config{Certificates: []tls.Certificate{{Certificate: chain, PrivateKey: leaf}}})
	done := make(chan struct{})
	go func() { defer close(done); server.ServeTLS(l, "", "") }()
	t.Cleanup(func() {
		server.Close()
		<-done
	})
	return s
}

// pinned trusts a peer whose leaf is signed by the host key.
func pinned(host jwtauth.PublicKey) *tls.Config {
	return &tls.Config{
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			key, err := jwtauth.HostKeyOf(state.PeerCertificates, time.Now())
			if err == nil && !key.Equal(host) {
				err = x509.UnknownAuthorityError{}
			}
			return err
		},
	}
}

// client returns a client of s. change may alter its configuration.
func (s *testServer) client(t testing.TB, change ...func(*ClientConfig)) *Client {
	t.Helper()
	cfg := ClientConfig{
		BaseURL: &url.URL{Scheme: "https", Host: s.addr}, TLS: s.tls,
		HostKey: s.broker.host.PublicKey(), Signer: s.broker.user, Timeout: 5 * time.Second,
	}
	for _, f := range change {
		f(&cfg)
	}
	c, err := NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// open opens a session and closes it with the test.
func open(t testing.TB, c *Client, source string, req shell.OpenRequest) *Session {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	s, err := c.Open(ctx, source, req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// output is what a session printed until its exit.
type output struct {
	out, err []byte
	exit     shell.Frame
	notices  []string
}

// readAll reads a session to its end and acknowledges everything.
func readAll(t testing.TB, s *Session) output {
	t.Helper()
	o, err := readUntil(s)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func readUntil(s *Session) (o output, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	for {
		f, err := s.Next(ctx)
		if errors.Is(err, io.EOF) {
			return o, nil
		}
		if err != nil {
			return o, err
		}
		switch f.Type {
		case shell.FrameStdout:
			o.out = append(o.out, f.Data...)
		case shell.FrameStderr:
			o.err = append(o.err, f.Data...)
		case shell.FrameNotice:
			o.notices = append(o.notices, string(f.Data))
		case shell.FrameExit:
			o.exit = shell.Frame{Type: f.Type, End: f.End, Data: append([]byte(nil), f.Data...)}
		}
		s.Ack(f.End)
	}
}

// eventually waits for a condition that other goroutines bring about.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.NewTimer(15 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("never: %s", what)
		}
	}
}
