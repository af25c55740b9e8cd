package cli

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
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
	server *http.Server
	served sync.WaitGroup
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
	path, _, _ := strings.Cut(call.Target, "?")
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
		if s == nil {
			return nil, shell.Deny(shell.ReasonSessionUnknown, nil)
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
	token, err := jwtauth.Sign(ctx, a.host, jwtauth.TypeHost, jwtauth.Claims{
		IssuedAt: jwtauth.NumericDateOf(time.Now()), Audience: id, SessionID: id, OpenHash: jwtauth.TokenHash(opening),
	})
	if err != nil {
		return nil, err
	}
	info, err := json.Marshal(shell.SessionInfo{ID: id, Token: token, Linger: 60000, Terminal: request.Terminal != nil, Source: source, User: "operator", Host: "fake"})
	if err != nil {
		return nil, err
	}
	s := newFakeSession(a, request)
	a.mu.Lock()
	a.sessions[id] = s
	a.mu.Unlock()
	reader, writer := io.Pipe()
	s.out = writer
	a.served.Go(func() {
		on := "pipes"
		if t := request.Terminal; t != nil {
			on = fmt.Sprintf("%dx%d %dx%d %s", t.Cols, t.Rows, t.XPixel, t.YPixel, t.Term)
		}
		a.log.add("opened %s on %s", strings.Join(request.Argv, " "), on)
		s.frame(shell.FrameSession, info)
		s.run()
		writer.Close()
		a.mu.Lock()
		delete(a.sessions, id)
		a.mu.Unlock()
	})
	return &shell.Reply{Status: 200, Stream: reader}, nil
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

// fakeSession plays one program.
type fakeSession struct {
	agent   *fakeAgent
	request shell.OpenRequest

	wmu sync.Mutex
	out *io.PipeWriter
	end uint64

	mu     sync.Mutex
	change sync.Cond
	input  bytes.Buffer
	next   uint64
	eof    bool
	hungUp bool
}

func newFakeSession(a *fakeAgent, request shell.OpenRequest) *fakeSession {
	s := &fakeSession{agent: a, request: request}
	s.change.L = &s.mu
	return s
}

func (s *fakeSession) frame(t shell.FrameType, data []byte) {
	s.wmu.Lock()
	defer s.wmu.Unlock()
	s.end += t.Width(len(data))
	_, _ = s.out.Write(shell.AppendFrame(nil, shell.Frame{Type: t, End: s.end, Data: data}))
}

func (s *fakeSession) print(format string, args ...any) {
	s.frame(shell.FrameStdout, fmt.Appendf(nil, format, args...))
}

func (s *fakeSession) exit(e shell.Exit) {
	data, _ := json.Marshal(e)
	s.frame(shell.FrameExit, data)
}

func (s *fakeSession) hangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hungUp = true
	s.change.Broadcast()
	s.agent.log.add("hung up")
	s.out.Close()
}

// take takes a stdin or control request.
func (s *fakeSession) take(kind string, body []byte) (*shell.Reply, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if kind == "stdin" {
		in, err := shell.ParseStdin(body)
		if err != nil || in.Offset > s.next {
			return nil, shell.Deny(shell.ReasonOffset, err)
		}
		if fresh := in.Offset + uint64(len(in.Data)); fresh > s.next {
			s.input.Write(in.Data[s.next-in.Offset:])
			s.next = fresh
		}
		if in.EOF {
			s.agent.log.add("end of input at %d", s.next)
			s.eof = true
		}
		s.change.Broadcast()
	} else {
		var c shell.ControlRequest
		if err := json.Unmarshal(body, &c); err != nil {
			return nil, shell.Deny(shell.ReasonBody, err)
		}
		if c.Resize != nil {
			s.agent.log.add("resized to %dx%d", c.Resize.Cols, c.Resize.Rows)
		}
		if c.Close {
			s.mu.Unlock()
			s.hangUp()
			s.mu.Lock()
		}
	}
	return &shell.Reply{Status: 200, Body: fmt.Appendf(nil, `{"next":%d}`, s.next)}, nil
}

// Read reads input like a program.
func (s *fakeSession) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.input.Len() == 0 {
		if s.eof || s.hungUp {
			return 0, io.EOF
		}
		s.change.Wait()
	}
	return s.input.Read(p)
}

func (s *fakeSession) waitForHangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.hungUp {
		s.change.Wait()
	}
}

// run plays the program that the first argument names; without one it is a
// shell, which knows nothing but "exit N" as a line of its own.
func (s *fakeSession) run() {
	argv := s.request.Argv
	if s.request.Command != "" {
		argv = []string{"echo", "-c", s.request.Command}
	}
	if len(argv) == 0 {
		s.shell()
		return
	}
	switch argv[0] {
	case "echo":
		s.print("%s\n", strings.Join(argv[1:], " "))
	case "env":
		s.print("%v %v\n", s.request.Env, s.request.Terminal != nil)
	case "both":
		s.print("out\n")
		s.frame(shell.FrameStderr, []byte("err\n"))
	case "notice":
		s.frame(shell.FrameNotice, []byte(`{"code":"stopping","text":"stopping\u001b[2J soon"}`))
	case "exit":
		var code int
		_, _ = fmt.Sscan(argv[1], &code)
		s.exit(shell.Exit{Code: code})
		return
	case "killed":
		s.exit(shell.Exit{Code: 137, Signal: "KILL", Reason: "idle timeout"})
		return
	case "cat":
		buf := make([]byte, 64<<10)
		for {
			n, err := s.Read(buf)
			if n > 0 {
				s.frame(shell.FrameStdout, buf[:n])
			}
			if err != nil {
				break
			}
		}
	case "sum":
		h := sha256.New()
		n, _ := io.Copy(h, s)
		s.print("%d %x\n", n, h.Sum(nil))
	case "yes":
		for line := bytes.Repeat([]byte("y\n"), 4096); ; {
			s.mu.Lock()
			gone := s.hungUp
			s.mu.Unlock()
			if gone {
				return
			}
			s.frame(shell.FrameStdout, line)
		}
	case "hang":
		s.print("ready\n")
		s.waitForHangUp()
		return
	case "cut":
		s.print("partial\n")
		return
	}
	s.exit(shell.Exit{})
}

// shell echoes its input, as a pty would.
func (s *fakeSession) shell() {
	var line []byte
	var code int
	buf := make([]byte, 4096)
	for {
		n, err := s.Read(buf)
		if n > 0 {
			s.frame(shell.FrameStdout, buf[:n])
		}
		line = append(line, buf[:n]...)
		if i := bytes.LastIndex(line, []byte("exit ")); i >= 0 && bytes.ContainsAny(line[i:], "\r\n") {
			_, _ = fmt.Sscan(string(line[i+len("exit "):]), &code)
			break
		}
		if err != nil {
			break
		}
	}
	s.exit(shell.Exit{Code: code})
}
