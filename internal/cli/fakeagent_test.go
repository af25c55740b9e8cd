package cli

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"shellagent/jwtauth"
	"shellagent/shell"
	"shellagent/shell/shellhttp"
)

// fakeAgent is an agent without policy, processes and a second process: enough
// for what a client does. It takes any identity key, for the source "debug",
// and plays the programs of [fakeSession.run]. It keeps real tokens, real
// frames and the real HTTP handler.
type fakeAgent struct {
	host   *jwtauth.PrivateKey
	addr   string
	server *shellhttp.Server
	served sync.WaitGroup
	// next is what it announces of its next host key.
	next atomic.Pointer[shell.NextHostKey]
	// log tells what the agent saw, for tests that wait for it.
	log *log

	mu sync.Mutex
	// takes are the thumbprints of the keys it takes; any when empty.
	takes    map[string]bool
	sessions map[string]*fakeSession
}

// log is lines that a test can wait for.
type log struct {
	mu    sync.Mutex
	lines []string
	path  string
}

func (l *log) add(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	line := fmt.Sprintf(format, args...)
	l.lines = append(l.lines, line)
	if l.path == "" {
		return
	}
	if f, err := os.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err == nil {
		_, _ = f.WriteString(line + "\n")
		f.Close()
	}
}

func (l *log) has(line string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, have := range l.lines {
		if have == line {
			return true
		}
	}
	return false
}

func (l *log) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = nil
}

// startFakeAgent listens on addr, "127.0.0.1:0" for any port.
func startFakeAgent(addr string) (*fakeAgent, error) {
	host, err := jwtauth.GeneratePrivateKey()
	if err != nil {
		return nil, err
	}
	leaf, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	chain, err := jwtauth.SignLeaf(host, &leaf.PublicKey, time.Now(), time.Hour)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	a := &fakeAgent{host: host, addr: l.Addr().String(), log: &log{}, sessions: map[string]*fakeSession{}}
	server := shellhttp.NewServer(shellhttp.NewHandler(shellhttp.HandlerConfig{Caller: a}), &tls.Config{
		Certificates: []tls.Certificate{{Certificate: chain, PrivateKey: leaf}},
	})
	a.server = server
	a.served.Go(func() { _ = server.ServeTLS(l, "", "") })
	return a, nil
}

// close ends every connection and every session.
func (a *fakeAgent) close() {
	a.server.Close()
	a.mu.Lock()
	for _, s := range a.sessions {
		s.hangUp()
	}
	a.mu.Unlock()
	a.served.Wait()
}

func (a *fakeAgent) Call(ctx context.Context, call *shell.Call) (*shell.Reply, error) {
	reply, err := a.answer(ctx, call)
	var denied *shell.Denied
	if errors.As(err, &denied) {
		row := denied.Reason.Refusal()
		return &shell.Reply{Status: row.Status, Code: row.Code, Detail: row.Text}, nil
	}
	return reply, err
}

func (a *fakeAgent) answer(ctx context.Context, call *shell.Call) (*shell.Reply, error) {
	u, err := jwtauth.Parse(call.Token)
	if err != nil {
		return nil, shell.Deny(shell.ReasonTokenMalformed, err)
	}
	body, err := io.ReadAll(call.Body)
	if err != nil {
		return nil, err
	}
	path, query, _ := strings.Cut(call.Target, "?")
	parts := strings.Split(strings.TrimPrefix(path, "/v1/"), "/")
	switch {
	case parts[0] == "shell" && len(parts) == 2:
		if !a.takesKey(u.Kid) {
			a.log.add("refused a key")
			return nil, shell.Deny(shell.ReasonUnknownKey, nil)
		}
		return a.open(ctx, call.Token, parts[1], body)
	case call.Method == "GET" && path == "/v1/sessions":
		return a.list()
	case parts[0] == "sessions" && len(parts) >= 2:
		a.mu.Lock()
		s := a.sessions[parts[1]]
		a.mu.Unlock()
		if s == nil || call.Method == "GET" && !s.isAway() {
			// Whoever lost a stream of this agent's has lost the session.
			return nil, shell.Deny(shell.ReasonSessionUnknown, nil)
		}
		if call.Method == "GET" {
			from, _ := strconv.ParseUint(strings.TrimPrefix(query, "from="), 10, 64)
			return a.stream(ctx, s, parts[1], call.Token, from)
		}
		if call.Method == "DELETE" {
			s.hangUp()
			return &shell.Reply{Status: 200, Body: []byte(`{"ended":true}`)}, nil
		}
		return s.take(parts[len(parts)-1], body)
	}
	return nil, shell.Deny(shell.ReasonRoute, nil)
}

func (a *fakeAgent) takesKey(kid string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.takes) == 0 || a.takes[kid]
}

func (a *fakeAgent) list() (*shell.Reply, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := []shell.SessionSummary{}
	for id, s := range a.sessions {
		list = append(list, shell.SessionSummary{
			ID: id, Source: "debug", User: "operator", Command: strings.Join(s.request.Argv, " ") + "\x1b[31m",
			Remote: "192.0.2.1", Started: time.Now().Add(-90 * time.Second).UnixMilli(), Attached: true,
		})
	}
	body, err := json.Marshal(map[string]any{"version": 1, "sessions": list})
	return &shell.Reply{Status: 200, Body: body}, err
}

func (a *fakeAgent) open(ctx context.Context, opening, source string, body []byte) (*shell.Reply, error) {
	if source != "debug" {
		return nil, shell.Deny(shell.ReasonUnknownSource, nil)
	}
	var request shell.OpenRequest
	if err := json.Unmarshal(body, &request); err != nil {
		return nil, shell.Deny(shell.ReasonBody, err)
	}
	claims, err := unverifiedClaims(opening)
	if err != nil {
		return nil, err
	}
	if claims.Audience != a.host.PublicKey().Thumbprint() {
		return nil, shell.Deny(shell.ReasonAudience, nil)
	}
	id := claims.session.Thumbprint()
	s := newFakeSession(a, request)
	s.source = source
	a.mu.Lock()
	a.sessions[id] = s
	a.mu.Unlock()
	reply, err := a.stream(ctx, s, id, opening, 0)
	if err != nil {
		return nil, err
	}
	a.served.Go(func() {
		on := "pipes"
		if t := request.Terminal; t != nil {
			on = fmt.Sprintf("%dx%d %dx%d %s", t.Cols, t.Rows, t.XPixel, t.YPixel, t.Term)
		}
		if request.NoInput {
			on = "pipes without input"
		}
		a.log.add("opened %s on %s", strings.Join(request.Argv, " "), on)
		s.run()
		s.closeOut()
		a.mu.Lock()
		delete(a.sessions, id)
		a.mu.Unlock()
	})
	return reply, nil
}

// stream makes a stream the session's.
func (a *fakeAgent) stream(ctx context.Context, s *fakeSession, id, asked string, from uint64) (*shell.Reply, error) {
	token, err := jwtauth.Sign(ctx, a.host, jwtauth.TypeHost, jwtauth.Claims{
		IssuedAt: jwtauth.NumericDateOf(time.Now()), Audience: id, SessionID: id, OpenHash: jwtauth.TokenHash(asked),
	})
	if err != nil {
		return nil, err
	}
	info, err := json.Marshal(shell.SessionInfo{
		ID: id, Token: token, From: from, Linger: 60000, Terminal: s.request.Terminal != nil,
		Source: s.source, User: "operator", Host: "fake", NextHostKey: a.next.Load(),
	})
	return &shell.Reply{Status: 200, Stream: s.showOn(info, from)}, err
}

// fakeClaims are those that the fake needs.
type fakeClaims struct {
	Audience string `json:"aud"`
	Confirm  struct {
		JWK json.RawMessage `json:"jwk"`
	} `json:"cnf"`
	session jwtauth.PublicKey
}

func unverifiedClaims(token string) (c fakeClaims, err error) {
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err == nil {
		err = json.Unmarshal(payload, &c)
	}
	if err == nil {
		c.session, err = jwtauth.ParseJWK(c.Confirm.JWK)
	}
	return c, err
}
