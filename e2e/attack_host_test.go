package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"shellagent/jwtauth"
	"shellagent/shell"
)

// imposter is a TLS server that is not the agent that its client knows.
type imposter struct {
	port   int
	handle http.HandlerFunc

	mu   sync.Mutex
	seen []string // requests, with their bodies
}

func newImposter(t *testing.T, cert tls.Certificate) *imposter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	i := &imposter{port: portOf(l)}
	server := &http.Server{Handler: i, TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}}, ErrorLog: log.New(io.Discard, "", 0)}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.ServeTLS(l, "", "") }()
	t.Cleanup(func() { server.Close(); <-done })
	return i
}

// ServeHTTP implements [http.Handler].
func (i *imposter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	i.mu.Lock()
	i.seen = append(i.seen, r.Method+" "+r.RequestURI+" "+string(body))
	i.mu.Unlock()
	i.handle(w, r)
}

func (i *imposter) requests() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return append([]string(nil), i.seen...)
}

// signedBy is a leaf that a host key signed.
func signedBy(t *testing.T, host *jwtauth.PrivateKey) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	chain, err := jwtauth.SignLeaf(host, &key.PublicKey, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: chain, PrivateKey: key}
}

// fromCA is a certificate for 127.0.0.1 that its own CA signed, as a proxy has
// it; file is that CA's.
func fromCA(t *testing.T, file string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "proxy"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// answerOpen answers an open with a session event whose host token is by signer.
func answerOpen(w http.ResponseWriter, r *http.Request, signer *jwtauth.PrivateKey) {
	raw := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	u, err := jwtauth.Parse(raw)
	if err != nil {
		panic(err)
	}
	asked, err := u.Unproven()
	if err != nil {
		panic(err)
	}
	id := asked.Claims.Session.Thumbprint()
	token, err := jwtauth.Sign(context.Background(), signer, jwtauth.TypeHost, jwtauth.Claims{
		IssuedAt: jwtauth.NumericDateOf(time.Now()), Audience: id, SessionID: id, OpenHash: asked.Hash(),
	})
	if err != nil {
		panic(err)
	}
	info, _ := json.Marshal(shell.SessionInfo{ID: id, Token: token, Source: "debug", User: "operator", Host: "h"})
	if strings.Contains(r.Header.Get("Accept"), "frames") {
		w.Header().Set("Content-Type", "application/vnd.shellagent.frames")
		_, _ = w.Write(shell.AppendFrame(nil, shell.Frame{Type: shell.FrameSession, Data: info}))
		_, _ = w.Write(shell.AppendFrame(nil, shell.Frame{Type: shell.FrameStdout, End: 10, Data: []byte("Password: ")}))
	} else {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, "event: session\nid: 0\ndata: %s\n\n", info)
		fmt.Fprintf(w, "event: stdout\nid: 10\ndata: %s\n\n", base64.StdEncoding.EncodeToString([]byte("Password: ")))
	}
	w.(http.Flusher).Flush()
	select {
	case <-r.Context().Done():
	case <-time.After(5 * time.Second):
	}
}

// TestImposters lets a client that knows an agent's key meet others: it must
// leave before anything is typed, and show nothing of what they say.
func TestImposters(t *testing.T) {
	h := startHost(t, nil)
	real := newAttacker(t, h, "127.0.0.1")
	other := newKey(t)
	ca := filepath.Join(h.dir, "ca.pem")
	proxyCert := fromCA(t, ca)
	document := func(w http.ResponseWriter) {
		got := real.raw("GET /v1/agent HTTP/1.1\r\nHost: a\r\n\r\n")
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(got.body)
	}
	for _, c := range []struct {
		name   string
		cert   tls.Certificate
		ca     string
		handle http.HandlerFunc
		// most is how many requests the client may make before it leaves.
		most int
	}{
		{"leaf of another host key", signedBy(t, other), "", func(w http.ResponseWriter, r *http.Request) { answerOpen(w, r, other) }, 0},
		{"certificate of nobody", proxyCert, "", func(w http.ResponseWriter, r *http.Request) { answerOpen(w, r, other) }, 0},
		{"proxy with the agent's document and another's token", proxyCert, ca, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/v1/agent" {
				document(w)
				return
			}
			answerOpen(w, r, other)
		}, 3},
		{"proxy whose problem moves the cursor", proxyCert, ca, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/v1/agent" {
				document(w)
				return
			}
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(403)
			_ = json.NewEncoder(w).Encode(map[string]any{
				"status": 403, "code": "command_denied\x1b[2J", "title": "x", "detail": "\x1b]0;owned\x07\u009b2J\u202eno\r\nagent: all is well",
			})
		}, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			i := newImposter(t, c.cert)
			i.handle = c.handle
			target := object{"hostname": "127.0.0.1", "port": i.port, "source": "debug", "fingerprint": real.aud}
			if c.ca != "" {
				target["caPath"] = c.ca
			}
			h.writeJSON(h.client, object{"signingKeyPath": h.key, "targets": object{"myhost": target}})
			got := h.runClient(strings.NewReader("hunter2\n"), "exec", "--batch", "debug", "myhost", "--", "cat")
			if got.code != 255 || got.stdout != "" || got.stderr == "" {
				t.Errorf("code %d, stdout %q, stderr %q", got.code, got.stdout, got.stderr)
			}
			if strings.ContainsAny(strings.TrimRight(got.stderr, "\n"), "\x1b\x07\r\u009b\u202e") {
				t.Errorf("stderr could move a cursor: %q", got.stderr)
			}
			seen := i.requests()
			if len(seen) > c.most {
				t.Errorf("it made the requests %q", seen)
			}
			for _, r := range seen {
				if strings.Contains(r, "hunter2") || strings.Contains(r, "/stdin") {
					t.Errorf("it typed: %q", r)
				}
			}
			t.Logf("%s", got.stderr)
		})
	}
}
