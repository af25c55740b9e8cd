package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"shellagent/jwtauth"
	"shellagent/shell"
)

// session is one that the attacker holds the key of.
type session struct {
	a       *attacker
	key     *jwtauth.PrivateKey
	id      string
	counter uint64
	conn    net.Conn
	in      *bufio.Reader
	frames  io.Reader
	first   []byte // the session event's data
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
	s.first = first.Data
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

// output reads until the text came, or to the exit.
func (s *session) output(until string) (string, error) {
	var all strings.Builder
	for {
		f, err := s.next()
		if err != nil {
			return all.String(), err
		}
		switch f.Type {
		case shell.FrameStdout, shell.FrameStderr:
			all.Write(f.Data)
		case shell.FrameExit:
			return all.String(), errExited
		}
		if strings.Contains(all.String(), until) {
			return all.String(), nil
		}
	}
}

var errExited = errors.New("the session has ended")

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
