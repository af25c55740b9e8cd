package front

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"shellagent/broker"
	"shellagent/jwtauth"
	"shellagent/shell"
)

// agent is a broker with a real front and a handler of the test.
type agent struct {
	*broker.Front
	host  *jwtauth.PrivateKey
	url   string
	ready chan struct{}
	ended chan error
	stop  context.CancelFunc

	mu    sync.Mutex
	leafs int
	log   bytes.Buffer
}

func (a *agent) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.log.Write(p)
}

func (a *agent) signed() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.leafs
}

func (a *agent) logged(text string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return strings.Contains(a.log.String(), text)
}

type handlerFunc func(context.Context, *shell.Call) *shell.Reply

func (f handlerFunc) Handle(ctx context.Context, c *shell.Call) *shell.Reply { return f(ctx, c) }

func start(t *testing.T, change func(*broker.FrontConfig), h handlerFunc) *agent {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host, err := jwtauth.GeneratePrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	a := &agent{host: host, url: "https://" + l.Addr().String(), ready: make(chan struct{}, 16), ended: make(chan error, 1)}
	cfg := broker.FrontConfig{
		Listeners: []*net.TCPListener{l.(*net.TCPListener)}, Handler: h,
		Setup: broker.Setup{Agent: []byte(`{"version":1}`)},
		SignLeaf: func(key *ecdsa.PublicKey) ([][]byte, error) {
			a.mu.Lock()
			a.leafs++
			a.mu.Unlock()
			return jwtauth.SignLeaf(host, key, time.Now(), time.Hour)
		},
		Ready:   func() { a.ready <- struct{}{} },
		Grace:   500 * time.Millisecond,
		Log:     slog.New(slog.NewTextHandler(a, nil)),
		Program: []string{"/proc/self/exe", "front.test", "front"},
	}
	if os.Getuid() == 0 {
		cfg.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
	}
	if change != nil {
		change(&cfg)
	}
	if a.Front, err = broker.NewFront(cfg); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	a.stop = cancel
	go func() { a.ended <- a.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-a.ended
		l.Close()
		if t.Failed() {
			t.Log(a.log.String())
		}
	})
	return a
}

// client speaks one version of HTTP to the agent, and to nobody else.
func (a *agent) client(t *testing.T, h2 bool) *http.Client {
	var protocols http.Protocols
	protocols.SetHTTP1(!h2)
	protocols.SetHTTP2(h2)
	transport := &http.Transport{Protocols: &protocols, TLSClientConfig: &tls.Config{
		InsecureSkipVerify: true, // replaced by:
		VerifyConnection: func(s tls.ConnectionState) error {
			key, err := jwtauth.HostKeyOf(s.PeerCertificates, time.Now())
			if err == nil && !key.Equal(a.host.PublicKey()) {
				err = fmt.Errorf("leaf is signed by %s", key.Thumbprint())
			}
			return err
		},
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 20 * time.Second}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(15 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("waited 15 s for %s", what)
		}
	}
}

func request(method, url, body string) *http.Request {
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	r.Header.Set("Authorization", "Bearer t.o.k")
	return r
}

func do(t *testing.T, c *http.Client, r *http.Request) (int, string) {
	t.Helper()
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}
