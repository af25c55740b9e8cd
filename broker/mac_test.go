package broker

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"shellagent/jwtauth"
	"shellagent/shell"
)

// macSession is a session whose requests are under a MAC.
type macSession struct {
	*testSession
	signer *jwtauth.RequestSigner
}

// agreed makes a call whose answer ends the agreement of a fresh session key.
func (a *testAgent) agreed(c *shell.Call, body []byte, key *jwtauth.PrivateKey) (*macSession, *shell.Reply) {
	a.t.Helper()
	s := &macSession{testSession: &testSession{a: a, key: newTestKey(a.t)}}
	s.signer = jwtauth.NewRequestSigner(s.key)
	share, err := s.signer.Offer()
	if err != nil {
		a.t.Fatal(err)
	}
	reply := a.Handle(a.t.Context(), a.offering(c, body, key, s.key, share))
	if reply.Stream == nil {
		return s, reply
	}
	a.t.Cleanup(func() { reply.Stream.Close() })
	s.frames = reply.Stream
	info, host := a.sessionEvent(s.testSession)
	s.id = info.ID
	if err := s.signer.Agree(host); err != nil {
		a.t.Fatal(err)
	}
	return s, reply
}

// offering is a call with an identity token that offers a share.
func (a *testAgent) offering(c *shell.Call, body []byte, key, session *jwtauth.PrivateKey, share string) *shell.Call {
	return a.signed(c, key, jwtauth.TypeIdentity, jwtauth.Claims{
		IssuedAt: jwtauth.NumericDateOf(a.now()), ID: jwtauth.NewID(), Session: session.PublicKey(),
		Audience: a.host.PublicKey().Thumbprint(), RequestHash: jwtauth.RequestHash(c.Method, c.Target, body), Share: share,
	})
}

// sessionEvent reads a stream's first frame, and its token.
func (a *testAgent) sessionEvent(s *testSession) (info shell.SessionInfo, host *jwtauth.Token) {
	a.t.Helper()
	f, err := shell.ReadFrame(s.frames, nil)
	if err == nil {
		err = json.Unmarshal(f.Data, &info)
	}
	if err != nil {
		a.t.Fatal(err)
	}
	u, err := jwtauth.Parse(info.Token)
	if err != nil {
		a.t.Fatal(err)
	}
	if host, err = u.Verify(a.host.PublicKey()); err != nil {
		a.t.Fatal(err)
	}
	return info, host
}

func (a *testAgent) openAgreed(source string, key *jwtauth.PrivateKey) *macSession {
	a.t.Helper()
	body := []byte("{}")
	s, reply := a.agreed(call("POST", "/v1/shell/"+source, body), body, key)
	if reply.Stream == nil {
		a.t.Fatalf("open: %d %s", reply.Status, reply.Code)
	}
	return s
}

// tag puts a token under the MAC into a call.
func (s *macSession) tag(c *shell.Call, body []byte) *shell.Call {
	s.a.t.Helper()
	token, err := s.signer.Sign(s.a.t.Context(), jwtauth.NumericDateOf(s.a.now()),
		jwtauth.Request{Method: c.Method, Target: c.Target, Body: body}, "")
	if err != nil {
		s.a.t.Fatal(err)
	}
	if u, err := jwtauth.Parse(token); err != nil || u.Alg != jwtauth.AlgHS256 {
		s.a.t.Fatalf("the token is %+v, %v", u, err)
	}
	c.Token = token
	return c
}

func (s *macSession) typing(offset uint64, text string) *shell.Call {
	body := shell.AppendStdin(nil, shell.Stdin{Offset: offset, Data: []byte(text)})
	return s.tag(call("POST", s.target("stdin"), body), body)
}

func TestRequestsUnderAMAC(t *testing.T) {
	alice := newTestKey(t)
	a := newTestAgent(t, oneSource(alice))
	s := a.openAgreed("debug", alice)
	other := a.openAgreed("debug", alice)
	a.wantCode("typing", s.typing(0, "one "), "")
	a.wantCode("signed, as any client may", s.next(s.stdin(4, "two ")), "")

	replayed := s.typing(8, "three ")
	body := readCall(t, replayed)
	a.wantCode("typing on", replayed, "")
	replayed.Body = bytes.NewReader(body)
	a.wantCode("the same again", replayed, "replayed")

	// One comparison for a counter: after another body the good one is too late.
	altered := s.typing(14, "four")
	body = readCall(t, altered)
	bad := bytes.Clone(body)
	bad[len(bad)-1] ^= 1
	altered.Body = bytes.NewReader(bad)
	a.wantCode("another body", altered, "unauthorized")
	altered.Body = bytes.NewReader(body)
	a.wantCode("its own body, after another", altered, "replayed")

	moved := s.typing(14, "four")
	moved.Target = s.target("control")
	a.wantCode("another target", moved, "unauthorized")
	elsewhere := s.typing(14, "four")
	elsewhere.Target = other.target("stdin")
	a.wantCode("another session's target", elsewhere, "unauthorized")
	body = shell.AppendStdin(nil, shell.Stdin{Data: []byte("evil")})
	a.wantCode("made for another session", s.tag(call("POST", other.target("stdin"), body), body), "session_not_found")
	a.wantCode("for a list", s.tag(call("GET", "/v1/sessions", nil), nil), "unauthorized")
	a.wantCode("typing at last", s.typing(14, "four"), "")
	awaitTyped(t, a.programs()[0], "one two three four")
	awaitTyped(t, a.programs()[1], "")
}

// next keeps the counters of the two kinds of tokens apart.
func (s *macSession) next(c *shell.Call) *shell.Call {
	s.counter += 20
	body := readCall(s.a.t, c)
	return s.testSession.sign(c, body)
}

// readCall reads a call's body and leaves it to be read again.
func readCall(t *testing.T, c *shell.Call) []byte {
	t.Helper()
	body, err := io.ReadAll(c.Body)
	if err != nil {
		t.Fatal(err)
	}
	c.Body = bytes.NewReader(body)
	return body
}

// Without an agreement nothing is taken under a MAC.
func TestMACThatNobodyAgreedTo(t *testing.T) {
	alice := newTestKey(t)
	a := newTestAgent(t, oneSource(alice))
	plain, agreed := a.open("debug", alice), a.openAgreed("debug", alice)
	info, host := a.sessionEvent(plain)
	if host.Claims.Share != "" {
		t.Errorf("nobody asked for the share %s", host.Claims.Share)
	}
	// The MAC of a session of one's own, for another's key.
	c := agreed.typing(0, "x")
	parts := strings.Split(c.Token, ".")
	head, err := base64.RawURLEncoding.DecodeString(parts[0])
	if err != nil {
		t.Fatal(err)
	}
	parts[0] = base64.RawURLEncoding.EncodeToString(bytes.Replace(head, []byte(agreed.id), []byte(info.ID), 1))
	c.Token, c.Target = strings.Join(parts, "."), plain.target("stdin")
	a.wantCode("where none was agreed", c, "unauthorized")
	if !strings.Contains(a.log.String(), "reason=token_algorithm") {
		t.Error("the log does not say why")
	}
	parts[0] = base64.RawURLEncoding.EncodeToString(bytes.Replace(head, []byte(agreed.id), []byte(newTestKey(t).PublicKey().Thumbprint()), 1))
	c.Token = strings.Join(parts, ".")
	a.wantCode("for a key that no session has", c, "session_not_found")
	a.wantCode("typing", plain.stdin(0, "mine"), "")
	awaitTyped(t, plain.program, "mine")
}

// A repeated open shows the session, and agrees on nothing: its token does not
// prove that the caller has the session key.
func TestRepeatedOpenAgreesOnNothing(t *testing.T) {
	alice := newTestKey(t)
	a := newTestAgent(t, oneSource(alice))
	s := a.openAgreed("debug", alice)
	again := &macSession{testSession: s.testSession, signer: jwtauth.NewRequestSigner(s.key)}
	share, err := again.signer.Offer()
	if err != nil {
		t.Fatal(err)
	}
	body := []byte("{}")
	reply := a.wantCode("the open again", a.offering(call("POST", "/v1/shell/debug", body), body, alice, s.key, share), "")
	t.Cleanup(func() { reply.Stream.Close() })
	s.frames = reply.Stream
	if _, host := a.sessionEvent(s.testSession); host.Claims.Share != "" {
		t.Errorf("it got the share %s", host.Claims.Share)
	}
	a.wantCode("typing under the first agreement", s.typing(0, "x"), "")
}

// Nothing starts for a share that leads to no secret.
func TestOpenWithAShareOfLowOrder(t *testing.T) {
	alice := newTestKey(t)
	a := newTestAgent(t, oneSource(alice))
	body := []byte("{}")
	zero := base64.RawURLEncoding.EncodeToString(make([]byte, 32))
	a.wantCode("zeros", a.offering(call("POST", "/v1/shell/debug", body), body, alice, newTestKey(t), zero), "unauthorized")
	if n := len(a.programs()); n != 0 {
		t.Errorf("%d programs were started", n)
	}
}

// Who takes a session over agrees on a MAC of their own; the one before is told.
func TestTakeoverAgreesAnew(t *testing.T) {
	alice := newTestKey(t)
	a := newTestAgent(t, oneSource(alice))
	s := a.openAgreed("debug", alice)
	a.wantCode("typing", s.typing(0, "mine "), "")
	waiting := s.typing(5, "late")
	taker, reply := a.agreed(call("POST", s.target("attach"), nil), nil, alice)
	if reply.Stream == nil || taker.id != s.id {
		t.Fatalf("attach: %d %s", reply.Status, reply.Code)
	}
	a.wantCode("what was under way", waiting, "taken_over")
	a.wantCode("typing on", s.typing(5, "late"), "taken_over")
	a.wantCode("typing", taker.typing(5, "theirs"), "")
	awaitTyped(t, a.programs()[0], "mine theirs")
}

// awaitTyped waits until the program has read what it should, and no more.
func awaitTyped(t *testing.T, p *memoryProgram, want string) {
	t.Helper()
	deadline := time.After(5 * time.Second)
	for p.read() != want {
		select {
		case <-deadline:
			t.Fatalf("the program read %q, want %q", p.read(), want)
		default:
			runtime.Gosched()
		}
	}
}
