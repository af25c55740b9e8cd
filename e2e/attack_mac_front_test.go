package e2e

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"shellagent/jwtauth"
	"shellagent/shell"
)

// takenOver stands where a front stands that somebody has taken over: it has a
// leaf that the host key signed, sees every request, and passes on what it likes.
type takenOver struct {
	pass http.Handler
	// meddle, unless nil, may answer a request under a MAC itself, or change it.
	meddle func(w http.ResponseWriter, r *http.Request) (answered bool)

	mu   sync.Mutex
	algs map[string]int // of request tokens
}

func takeOverFront(t *testing.T, h *host) *takenOver {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	front := &takenOver{algs: map[string]int{}, pass: &httputil.ReverseProxy{
		Transport: transport, FlushInterval: -1, ErrorLog: log.New(io.Discard, "", 0),
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = "https", fmt.Sprintf("127.0.0.1:%d", h.port)
		},
	}}
	cert := signedBy(t, loadKey(t, filepath.Join(h.dir, "state", "host_key")))
	server := &http.Server{Handler: front, TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}}, ErrorLog: log.New(io.Discard, "", 0)}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.ServeTLS(l, "", "") }()
	t.Cleanup(func() { server.Close(); <-done; transport.CloseIdleConnections() })
	h.targetPort(portOf(l))
	return front
}

// ServeHTTP implements [http.Handler].
func (f *takenOver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	alg := f.note(r)
	if alg == "HS256" && f.meddle != nil && f.meddle(w, r) {
		return
	}
	f.pass.ServeHTTP(w, r)
}

// note counts the algorithm of a request token, and returns it.
func (f *takenOver) note(r *http.Request) string {
	encoded, _, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), ".")
	text, _ := base64.RawURLEncoding.DecodeString(encoded)
	var head struct{ Alg, Typ string }
	if json.Unmarshal(text, &head) != nil || head.Typ != string(jwtauth.TypeRequest) {
		return ""
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.algs[head.Alg]++
	return head.Alg
}

func (f *takenOver) count(alg string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.algs[alg]
}

// TestFrontMeddlesWithTheMAC: the client types under a MAC; whoever has the front
// can make it sign instead, and no more than that.
func TestFrontMeddlesWithTheMAC(t *testing.T) {
	for name, c := range map[string]struct {
		meddle func(w http.ResponseWriter, r *http.Request) bool
		signs  bool
	}{
		"it passes everything on": {nil, false},
		"it refuses the MAC": {func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"type":"about:blank","title":"Unauthorized","status":401,"code":"unauthorized"}`)
			return true
		}, true},
		"it changes what is typed": {func(_ http.ResponseWriter, r *http.Request) bool {
			body, _ := io.ReadAll(r.Body)
			if strings.HasSuffix(r.URL.Path, "/stdin") && len(body) > shell.StdinHeaderSize {
				body[shell.StdinHeaderSize] ^= 1
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			return false
		}, true},
		"it cuts the token's MAC off": {func(_ http.ResponseWriter, r *http.Request) bool {
			token := r.Header.Get("Authorization")
			r.Header.Set("Authorization", token[:strings.LastIndexByte(token, '.')+1]+encode(make([]byte, 32)))
			return false
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			h := startHost(t, nil)
			front := takeOverFront(t, h)
			front.meddle = c.meddle
			typed := strings.Repeat("what was typed\n", 20_000)
			r := h.exec(strings.NewReader(typed), "debug", "myhost", "--", "cat")
			if r.code != 0 || r.stdout != typed {
				t.Errorf("code %d, %d bytes of %d, %q", r.code, len(r.stdout), len(typed), r.stderr)
			}
			if tagged, signed := front.count("HS256"), front.count("EdDSA"); tagged == 0 || (signed > 0) != c.signs {
				t.Errorf("%d requests under the MAC, %d signed", tagged, signed)
			}
		})
	}
}
