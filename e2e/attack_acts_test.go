package e2e

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"

	"shellagent/jwtauth"
	"shellagent/shell"
)

// The attacks that take more than one step.

// identityForStdin types with the guarded key's token, in place of the session's.
func identityForStdin(a *victim, s *session) answer {
	r := s.stdin(0, "id\n")
	return a.raw(signed(r, a.identity(r, s.key.PublicKey()), a.alice).String())
}

// requestForList asks for alice's sessions with a session's token.
func requestForList(a *victim, s *session) answer {
	return a.raw(s.signed(request{method: "GET", target: "/v1/sessions"}).String())
}

// hmacWithPublicKey is the classic confusion: the public key as a secret.
func hmacWithPublicKey(a *victim) answer {
	pub := a.alice.PublicKey()
	r := request{method: "GET", target: "/v1/sessions"}
	input := encode([]byte(header("HS256", jwtauth.TypeIdentity, pub.Thumbprint()))) + "." +
		encode([]byte(a.identity(r, newKey(a.t).PublicKey()).String()))
	mac := hmac.New(sha256.New, []byte(pub.AuthorizedKey("")))
	mac.Write([]byte(input))
	r.token = input + "." + encode(mac.Sum(nil))
	return a.raw(r.String())
}

// headlessClaims signs a payload that is no object of claims.
func headlessClaims(payload string) attack {
	return func(a *victim) answer {
		r := request{method: "GET", target: "/v1/sessions"}
		r.token = jws(good(a.alice.PublicKey().Thumbprint()), payload, a.alice)
		return a.raw(r.String())
	}
}

// nonceFor lets the agent make a nonce for a key.
func (a *victim) nonceFor(key *jwtauth.PrivateKey) (string, error) {
	r := request{method: "GET", target: "/v1/sessions"}
	c := a.identity(r, newKey(a.t).PublicKey()).with("iat", "1600000000").with("exp", "1600000001")
	got := a.raw(signed(r, c, key).String())
	if got.code != "stale" || got.nonce == "" {
		return "", fmt.Errorf("no nonce in %v", got)
	}
	return got.nonce, nil
}

func (a *victim) listWithNonce(key *jwtauth.PrivateKey, nonce string) answer {
	r := request{method: "GET", target: "/v1/sessions"}
	return a.raw(signed(r, a.identity(r, newKey(a.t).PublicKey()).plus("nonce", strconv.Quote(nonce)), key).String())
}

func nonceOfAnotherKey(a *victim) answer {
	nonce, err := a.nonceFor(a.bob)
	if err != nil {
		return answer{err: err}
	}
	return a.listWithNonce(a.alice, nonce)
}

func nonceUsedTwice(a *victim) answer {
	nonce, err := a.nonceFor(a.alice)
	if err != nil {
		return answer{err: err}
	}
	if first := a.listWithNonce(a.alice, nonce); first.status != 200 {
		return first
	}
	return a.listWithNonce(a.alice, nonce)
}

// fillReplays uses more tokens of one key than the agent keeps, on one
// connection. Another key is not locked out by it.
func fillReplays(a *victim) answer {
	c, err := a.dial()
	if err != nil {
		return answer{err: err}
	}
	defer c.Close()
	in := bufio.NewReader(c)
	for range 2000 {
		if _, err := c.Write([]byte(a.list(a.carol).String())); err != nil {
			return answer{err: err}
		}
		if got := readAnswer(in); got.err != nil || got.status != 200 {
			if other := a.raw(a.list(a.alice).String()); other.status != 200 {
				return other
			}
			return got
		}
	}
	return answer{err: errors.New("2000 tokens of one key were taken within seconds")}
}

// listAt sends alice's good token for a request that the agent does not know.
func listAt(method, target string) attack {
	return func(a *victim) answer {
		r := request{method: method, target: target}
		return a.raw(signed(r, a.identity(r, newKey(a.t).PublicKey()), a.alice).String())
	}
}

func stdinAfterTheEnd(a *victim) answer {
	s, got := a.start("debug", a.alice, `{"argv":["true"]}`)
	defer s.close()
	if got.status != 200 {
		return got
	}
	if _, err := s.exit(); err != nil {
		return answer{err: err}
	}
	return a.raw(s.stdin(0, "touch /tmp/e2e-typed-after-the-end\n").String())
}

func sameKeyAgain(a *victim) answer {
	s, got := a.start("debug", a.alice, `{"argv":["cat"]}`)
	defer s.close()
	if got.status != 200 {
		return got
	}
	return a.raw(a.openAs("debug", a.alice, s.key, `{"argv":["id"]}`).String())
}

// bobs sends bob's good token for alice's session.
func bobs(method, verb string) func(*victim, *session) answer {
	return func(a *victim, s *session) answer {
		r := request{method: method, target: "/v1/sessions/" + s.id + verb}
		return a.raw(signed(r, a.identity(r, newKey(a.t).PublicKey()), a.bob).String())
	}
}

// bobReads asks for alice's output with the session key of his own session.
func bobReads(a *victim, s *session) answer {
	own, got := a.start("bobs", a.bob, `{"argv":["cat"]}`)
	defer own.close()
	if got.status != 200 {
		return got
	}
	return a.raw(own.signed(request{method: "GET", target: s.target("stream?from=0")}).String())
}

// comeBack opens a session where the key may be used, and returns to it from
// where it may not.
func comeBack(method, verb string) attack {
	return func(a *victim) answer {
		near := a.at("127.200" + strings.TrimPrefix(a.from, "127.0"))
		s, got := near.start("debug", a.local, `{"argv":["cat"]}`)
		defer s.close()
		if got.status != 200 {
			return got
		}
		if listed := near.raw(near.list(a.local).String()); !strings.Contains(string(listed.body), s.id) {
			return answer{err: fmt.Errorf("the session is not listed: %v", listed)}
		}
		if listed := a.raw(a.list(a.local).String()); listed.status != 200 || strings.Contains(string(listed.body), s.id) {
			return answer{err: fmt.Errorf("the session is listed to %s: %v", a.from, listed)}
		}
		r := request{method: method, target: "/v1/sessions/" + s.id + verb}
		return a.raw(signed(r, a.identity(r, newKey(a.t).PublicKey()), a.local).String())
	}
}

func typingOnAfterTakeover(a *victim) answer {
	s, got := a.start("debug", a.alice, `{"argv":["cat"]}`)
	defer s.close()
	if got.status != 200 {
		return got
	}
	other := &session{a: a.attacker, key: newKey(a.t)}
	r := request{
		method: "POST", target: s.target("attach"),
		headers: []string{"Accept: application/vnd.shellagent.frames"},
	}
	if got := other.stream(signed(r, a.identity(r, other.key.PublicKey()), a.alice)); got.status != 200 {
		return got
	}
	defer other.close()
	return a.raw(s.stdin(0, "id\n").String())
}

// slowBody stops sending in the middle of a body.
func slowBody(a *victim) answer {
	c, err := a.dial()
	if err != nil {
		return answer{err: err}
	}
	defer c.Close()
	if _, err := fmt.Fprintf(c, "POST /v1/sessions/%s/stdin HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer a.b.c\r\nContent-Length: 100\r\n\r\nabc", someSession); err != nil {
		return answer{err: err}
	}
	return readAnswer(bufio.NewReader(c))
}

// hangingBroker fills the room of the calls while the broker does not answer.
func hangingBroker(a *victim) answer {
	broker := a.h.cmd.Process
	if err := broker.Signal(syscall.SIGSTOP); err != nil {
		return answer{err: err}
	}
	defer func() { _ = broker.Signal(syscall.SIGCONT) }()
	const room = 512
	for range room {
		c, err := a.dial()
		if err != nil {
			return answer{err: err}
		}
		defer c.Close()
		if _, err := c.Write([]byte("GET /v1/sessions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer a.b.c\r\n\r\n")); err != nil {
			return answer{err: err}
		}
	}
	return a.raw("GET /v1/sessions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer a.b.c\r\n\r\n")
}

// openWhileStopping opens while an older session takes its time to end.
func openWhileStopping(a *victim) answer {
	s, got := a.start("debug", a.alice, `{"command":"trap '' HUP; echo ready; while :; do sleep 1; done"}`)
	defer s.close()
	if got.status != 200 {
		return got
	}
	if _, err := s.output("ready"); err != nil {
		return answer{err: err}
	}
	if err := a.h.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return answer{err: err}
	}
	for {
		f, err := s.next()
		if err != nil {
			return answer{err: err}
		}
		if f.Type == shell.FrameNotice && strings.Contains(string(f.Data), "stopping") {
			break
		}
	}
	return a.raw(a.open("debug", a.alice, "{}").String())
}
