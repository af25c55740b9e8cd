package shellhttp

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"shellagent/jwtauth"
	"shellagent/shell"
)

// typeAndEnd types into a session of cat and reads it all back.
func typeAndEnd(t *testing.T, s *Session, text string) {
	t.Helper()
	if _, err := s.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := s.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if out := readAll(t, s); string(out.out) != text {
		t.Errorf("%d bytes came back of %d", len(out.out), len(text))
	}
}

// After the session event requests are under the MAC that it ended, unless the
// agent agreed to none.
func TestRequestsAreTagged(t *testing.T) {
	for name, unagreed := range map[string]bool{"agreed": false, "an agent that knows none": true} {
		t.Run(name, func(t *testing.T) {
			b := newTestBroker(t, map[string]script{"cat": catScript})
			b.unagreed.Store(unagreed)
			s := open(t, serve(t, b).client(t), "cat", shell.OpenRequest{})
			typeAndEnd(t, s, strings.Repeat("typed", 100_000))
			if signed, tagged := b.signed.Load(), b.tagged.Load(); (tagged > 0) == unagreed || (signed > 0) != unagreed {
				t.Errorf("%d requests signed, %d under a MAC", signed, tagged)
			}
		})
	}
}

// A MAC goes with the session through new connections.
func TestMACSurvivesResume(t *testing.T) {
	b := newTestBroker(t, map[string]script{"cat": catScript})
	s := open(t, serve(t, b).client(t), "cat", shell.OpenRequest{})
	s.stream.cancel(ErrCut)
	if _, err := s.Next(t.Context()); !errors.Is(err, ErrCut) {
		t.Fatalf("the cut stream ended with %v", err)
	}
	if err := s.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	typeAndEnd(t, s, "after a cut")
	if n := b.signed.Load(); n != 0 || b.tagged.Load() == 0 {
		t.Errorf("%d requests signed", n)
	}
}

// An agent that lost what was agreed, or a front that says so, makes a client
// sign. Nothing is lost by it.
func TestAgentForgetsTheMAC(t *testing.T) {
	b := newTestBroker(t, map[string]script{"cat": catScript})
	s := open(t, serve(t, b).client(t), "cat", shell.OpenRequest{})
	b.mu.Lock()
	b.clients[s.Info().ID].mac = nil
	b.mu.Unlock()
	typeAndEnd(t, s, strings.Repeat("typed", 200_000))
	if b.signed.Load() == 0 || b.tagged.Load() == 0 {
		t.Errorf("%d requests signed, %d under a MAC", b.signed.Load(), b.tagged.Load())
	}
}

// An open whose answer is lost leaves a session without a MAC: the stream that is
// asked for instead agrees on none.
func TestLostOpenIsSigned(t *testing.T) {
	b := newTestBroker(t, map[string]script{"cat": catScript})
	lost := false
	b.after = func(call *shell.Call, reply *shell.Reply) *shell.Reply {
		if !strings.HasPrefix(call.Target, "/v1/shell/") || lost {
			return reply
		}
		lost = true
		reply.Stream.Close()
		return problemOf(shell.Deny(shell.ReasonUnavailable, nil))
	}
	s := open(t, serve(t, b).client(t), "cat", shell.OpenRequest{})
	typeAndEnd(t, s, "typed")
	if b.tagged.Load() != 0 || b.started.Load() != 1 {
		t.Errorf("%d requests under a MAC that only one side has, %d programs", b.tagged.Load(), b.started.Load())
	}
}

// A share of the agent's that leads to no secret is refused, however well signed.
func TestAgentsShareOfLowOrder(t *testing.T) {
	host, err := jwtauth.GeneratePrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	k, err := newSessionKey()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.signer.Offer(); err != nil {
		t.Fatal(err)
	}
	token, err := jwtauth.Sign(context.Background(), host, jwtauth.TypeHost, jwtauth.Claims{
		IssuedAt: 1000, Audience: k.id, SessionID: k.id, OpenHash: jwtauth.TokenHash("sent"),
		Share: base64.RawURLEncoding.EncodeToString(make([]byte, 32)),
	})
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(shell.SessionInfo{ID: k.id, Token: token})
	if err != nil {
		t.Fatal(err)
	}
	_, err = k.checkSession([]jwtauth.PublicKey{host.PublicKey()}, "sent", shell.Frame{Type: shell.FrameSession, Data: data})
	if !errors.Is(err, ErrStream) {
		t.Errorf("got %v", err)
	}
}

// Who carries the session event cannot take the agent's share out of it, nor put
// one of their own in.
func TestShareInTransit(t *testing.T) {
	mine := base64.RawURLEncoding.EncodeToString(bytes.Repeat([]byte{9}, 32))
	for name, change := range map[string]func(claims string) string{
		"taken out": func(claims string) string { return claims[:strings.Index(claims, `,"x25519"`)] + "}" },
		"exchanged": func(claims string) string { return claims[:len(claims)-len(mine)-2] + mine + `"}` },
	} {
		t.Run(name, func(t *testing.T) {
			b := newTestBroker(t, map[string]script{"cat": catScript})
			b.inTransit = func(token string) string {
				parts := strings.Split(token, ".")
				claims, err := base64.RawURLEncoding.DecodeString(parts[1])
				if err != nil {
					t.Error(err)
				}
				changed := change(string(claims))
				if !json.Valid([]byte(changed)) || changed == string(claims) {
					t.Errorf("the front says %s", changed)
				}
				return parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(changed)) + "." + parts[2]
			}
			s, err := serve(t, b).client(t).Open(t.Context(), "cat", shell.OpenRequest{})
			if !errors.Is(err, ErrHost) {
				t.Errorf("got %v, %v", s, err)
			}
		})
	}
}
