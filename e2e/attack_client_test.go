package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"shellagent/jwtauth"
	"shellagent/shell"
)

// attacker is a client without manners: it writes requests byte by byte and
// signs what it likes. It comes from an address of its own, so that what others
// did before does not count against it.
type attacker struct {
	t    *testing.T
	h    *host
	from string
	// aud is the host key's thumbprint.
	aud string
}

func newAttacker(t *testing.T, h *host, from string) *attacker {
	t.Helper()
	line := h.publicKey(filepath.Join(h.dir, "state", "host_key"))
	key, _, err := jwtauth.ParsePublicKey(line)
	if err != nil {
		t.Fatal(err)
	}
	return &attacker{t: t, h: h, from: from, aud: key.Thumbprint()}
}

// at is the same attacker somewhere else.
func (a *attacker) at(from string) *attacker {
	b := *a
	b.from = from
	return &b
}

func (a *attacker) dialTCP() (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(a.from)}, Timeout: 10 * time.Second}
	return d.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", a.h.port))
}

func (a *attacker) dial() (*tls.Conn, error) {
	c, err := a.dialTCP()
	if err != nil {
		return nil, err
	}
	conn := tls.Client(c, &tls.Config{InsecureSkipVerify: true})
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	if err := conn.Handshake(); err != nil {
		c.Close()
		return nil, err
	}
	return conn, nil
}

// answer is what came back.
type answer struct {
	err    error
	status int
	code   string
	detail string
	next   uint64
	nonce  string
	retry  string
	body   []byte
	closed bool // the agent closed the connection after it
}

// raw sends a request on a connection of its own.
func (a *attacker) raw(request string) answer {
	c, err := a.dial()
	if err != nil {
		return answer{err: err}
	}
	defer c.Close()
	return exchange(c, bufio.NewReader(c), request)
}

func exchange(c net.Conn, in *bufio.Reader, request string) answer {
	if _, err := io.WriteString(c, request); err != nil {
		return answer{err: err}
	}
	got := readAnswer(in)
	if got.err == nil {
		c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		_, err := in.Peek(1)
		got.closed = err != nil && !isTimeout(err)
		c.SetReadDeadline(time.Now().Add(30 * time.Second))
	}
	return got
}

func isTimeout(err error) bool {
	t, ok := err.(net.Error)
	return ok && t.Timeout()
}

func readAnswer(in *bufio.Reader) answer {
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		return answer{err: err}
	}
	body, err := io.ReadAll(resp.Body)
	got := answer{
		err: err, status: resp.StatusCode, body: body,
		nonce: resp.Header.Get("Shellagent-Nonce"), retry: resp.Header.Get("Retry-After"),
	}
	var problem struct {
		Code, Detail string
		Next         uint64
	}
	if json.Unmarshal(body, &problem) == nil {
		got.code, got.detail, got.next = problem.Code, problem.Detail, problem.Next
	}
	return got
}

func (g answer) String() string {
	if g.err != nil {
		return g.err.Error()
	}
	return fmt.Sprintf("%d %s %q", g.status, g.code, g.detail)
}

// request is one in the making: what a well-behaved client would send, until
// an attack changes it.
type request struct {
	method, target string
	headers        []string
	token          string
	body           []byte
}

func (r request) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: agent\r\n", r.method, r.target)
	if r.token != "" {
		fmt.Fprintf(&b, "Authorization: Bearer %s\r\n", r.token)
	}
	if r.method == "POST" {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(r.body))
	}
	for _, h := range r.headers {
		b.WriteString(h + "\r\n")
	}
	b.WriteString("\r\n")
	b.Write(r.body)
	return b.String()
}

func newKey(t *testing.T) *jwtauth.PrivateKey {
	t.Helper()
	k, err := jwtauth.GeneratePrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func loadKey(t *testing.T, path string) *jwtauth.PrivateKey {
	t.Helper()
	k, err := jwtauth.LoadPrivateKey(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// claims of a token, each with its JSON, in order: names may be doubled.
type claims []claim

type claim struct{ name, value string }

func (c claims) with(name, value string) claims {
	changed := append(claims(nil), c...)
	for i := range changed {
		if changed[i].name == name {
			changed[i].value = value
			return changed
		}
	}
	return append(changed, claim{name, value})
}

func (c claims) without(name string) claims {
	var left claims
	for _, one := range c {
		if one.name != name {
			left = append(left, one)
		}
	}
	return left
}

func (c claims) plus(name, value string) claims {
	return append(append(claims(nil), c...), claim{name, value})
}

func (c claims) String() string {
	parts := make([]string, len(c))
	for i, one := range c {
		parts[i] = strconv.Quote(one.name) + ":" + one.value
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func date(t time.Time) string { return jwtauth.NumericDateOf(t).String() }

// identity are the claims of a good identity token for a request.
func (a *attacker) identity(r request, session jwtauth.PublicKey) claims {
	now := time.Now()
	return claims{
		{"iat", date(now)}, {"exp", date(now.Add(jwtauth.Lifetime))},
		{"jti", strconv.Quote(jwtauth.NewID())},
		{"rh", strconv.Quote(jwtauth.RequestHash(r.method, r.target, r.body))},
		{"aud", strconv.Quote(a.aud)},
		{"cnf", `{"jwk":` + string(session.JWK()) + `}`},
	}
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func header(alg string, typ jwtauth.Type, kid string) string {
	return fmt.Sprintf(`{"alg":%q,"typ":%q,"kid":%q}`, alg, typ, kid)
}

// jws signs any header and any claims.
func jws(head, payload string, key *jwtauth.PrivateKey) string {
	input := encode([]byte(head)) + "." + encode([]byte(payload))
	sig, err := key.Sign(context.Background(), []byte(input))
	if err != nil {
		panic(err)
	}
	return input + "." + encode(sig)
}

// signed is a request with an identity token of these claims.
func signed(r request, c claims, key *jwtauth.PrivateKey) request {
	pub := key.PublicKey()
	r.token = jws(header(pub.Alg(), jwtauth.TypeIdentity, pub.Thumbprint()), c.String(), key)
	return r
}

// open is the request that opens a source, with a good token.
func (a *attacker) open(source string, key *jwtauth.PrivateKey, body string) request {
	return a.openAs(source, key, newKey(a.t), body)
}

func (a *attacker) openAs(source string, key, session *jwtauth.PrivateKey, body string) request {
	r := request{
		method: "POST", target: "/v1/shell/" + source, body: []byte(body),
		headers: []string{"Accept: application/vnd.shellagent.frames"},
	}
	return signed(r, a.identity(r, session.PublicKey()), key)
}

// list asks for the caller's sessions, which any listed key may.
func (a *attacker) list(key *jwtauth.PrivateKey) request {
	r := request{method: "GET", target: "/v1/sessions"}
	return signed(r, a.identity(r, newKey(a.t).PublicKey()), key)
}

// session is one that the attacker holds the key of.
type session struct {
	a       *attacker
	key     *jwtauth.PrivateKey
	id      string
	counter uint64
	conn    net.Conn
	in      *bufio.Reader
	frames  io.Reader
}

// start opens a session and reads its first frame.
func (a *attacker) start(source string, key *jwtauth.PrivateKey, body string) (*session, answer) {
	k := newKey(a.t)
	s := &session{a: a, key: k, id: k.PublicKey().Thumbprint()}
	return s, s.stream(a.openAs(source, key, k, body))
}

// mustStart is start of a session that must be granted; it ends with the test.
func (a *attacker) mustStart(source string, key *jwtauth.PrivateKey, body string) *session {
	a.t.Helper()
	s, got := a.start(source, key, body)
	if got.err != nil || got.status != 200 {
		a.t.Fatalf("open of %s: %v", source, got)
	}
	a.t.Cleanup(s.close)
	return s
}

// stream sends a request that is answered with a stream.
func (s *session) stream(r request) answer {
	c, err := s.a.dial()
	if err != nil {
		return answer{err: err}
	}
	c.SetDeadline(time.Now().Add(2 * time.Minute))
	if _, err := io.WriteString(c, r.String()); err != nil {
		c.Close()
		return answer{err: err}
	}
	in := bufio.NewReader(c)
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		c.Close()
		return answer{err: err}
	}
	if resp.StatusCode != 200 {
		defer c.Close()
		var problem struct{ Code, Detail string }
		text, _ := io.ReadAll(resp.Body)
		_ = json.Unmarshal(text, &problem)
		return answer{status: resp.StatusCode, code: problem.Code, detail: problem.Detail, nonce: resp.Header.Get("Shellagent-Nonce")}
	}
	s.conn, s.in, s.frames = c, in, resp.Body
	first, err := s.next()
	if err == nil && first.Type != shell.FrameSession {
		err = fmt.Errorf("the stream begins with %v", first.Type)
	}
	return answer{err: err, status: 200}
}

func (s *session) next() (shell.Frame, error) {
	f, err := shell.ReadFrame(s.frames, nil)
	f.Data = bytes.Clone(f.Data)
	return f, err
}

// output reads until the text came, or the stream's end.
func (s *session) output(until string) (string, error) {
	var all strings.Builder
	for {
		f, err := s.next()
		if err != nil {
			return all.String(), err
		}
		if f.Type == shell.FrameStdout || f.Type == shell.FrameStderr {
			all.Write(f.Data)
			if strings.Contains(all.String(), until) {
				return all.String(), nil
			}
		}
	}
}

// exit reads to the exit.
func (s *session) exit() (shell.Exit, error) {
	for {
		f, err := s.next()
		if err != nil {
			return shell.Exit{}, err
		}
		if f.Type == shell.FrameExit {
			var e shell.Exit
			return e, json.Unmarshal(f.Data, &e)
		}
	}
}

func (s *session) close() {
	if s.conn != nil {
		s.conn.Close()
	}
}

// signed is a request with a request token of the session.
func (s *session) signed(r request) request {
	s.counter++
	return s.signedAs(r, s.counter)
}

func (s *session) signedAs(r request, counter uint64) request {
	now := time.Now()
	c := claims{
		{"iat", date(now)}, {"exp", date(now.Add(jwtauth.Lifetime))},
		{"jti", strconv.Quote(strconv.FormatUint(counter, 10))},
		{"rh", strconv.Quote(jwtauth.RequestHash(r.method, r.target, r.body))},
	}
	r.token = jws(header("EdDSA", jwtauth.TypeRequest, s.key.PublicKey().Thumbprint()), c.String(), s.key)
	return r
}

func (s *session) target(verb string) string { return "/v1/sessions/" + s.id + "/" + verb }

func (s *session) stdin(offset uint64, text string) request {
	body := shell.AppendStdin(nil, shell.Stdin{Offset: offset, Data: []byte(text)})
	return s.signed(request{method: "POST", target: s.target("stdin"), body: body})
}

func (s *session) control(body string) request {
	return s.signed(request{method: "POST", target: s.target("control"), body: []byte(body)})
}

func randomText(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return encode(b)
}
