package shellhttp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"testing"
	"time"

	"shellagent/jwtauth"
	"shellagent/shell"
)

// Whoever answers must prove to hold the host key, for this very request.
func TestHostTokens(t *testing.T) {
	imposter, err := jwtauth.GeneratePrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		signer *jwtauth.PrivateKey
		typ    jwtauth.Type
		change func(*jwtauth.Claims)
	}{
		"another key":     {signer: imposter},
		"another client":  {change: func(c *jwtauth.Claims) { c.Audience = imposter.PublicKey().Thumbprint() }},
		"another session": {change: func(c *jwtauth.Claims) { c.SessionID = imposter.PublicKey().Thumbprint() }},
		"another request": {change: func(c *jwtauth.Claims) { c.OpenHash = jwtauth.TokenHash("x") }},
	} {
		t.Run(name, func(t *testing.T) {
			b := newTestBroker(t, map[string]script{"wait": waitScript})
			b.before = func(call *shell.Call) (*shell.Reply, error) {
				u, err := jwtauth.Parse(call.Token)
				if err != nil {
					return nil, err
				}
				asked, err := u.Verify(b.user.PublicKey())
				if err != nil {
					return nil, err
				}
				if _, err := io.Copy(io.Discard, call.Body); err != nil {
					return nil, err
				}
				id := asked.Claims.Session.Thumbprint()
				claims := jwtauth.Claims{IssuedAt: jwtauth.NumericDateOf(time.Now()), Audience: id, SessionID: id, OpenHash: asked.Hash()}
				if c.change != nil {
					c.change(&claims)
				}
				signer := b.host
				if c.signer != nil {
					signer = c.signer
				}
				token, err := jwtauth.Sign(context.Background(), signer, jwtauth.TypeHost, claims)
				if err != nil {
					return nil, err
				}
				data, err := json.Marshal(shell.SessionInfo{ID: id, Token: token})
				if err != nil {
					return nil, err
				}
				frame := shell.AppendFrame(nil, shell.Frame{Type: shell.FrameSession, Data: data})
				return &shell.Reply{Status: 200, Stream: io.NopCloser(bytes.NewReader(frame))}, nil
			}
			if _, err := openErr(serve(t, b).client(t), "wait", shell.OpenRequest{}); !errors.Is(err, ErrHost) {
				t.Errorf("got %v", err)
			}
			if n := b.seen(""); n != 1 {
				t.Errorf("%d calls: nothing is sent to an imposter", n)
			}
		})
	}
}

func TestPeersWithoutTheHostKeyGetNothing(t *testing.T) {
	b := newTestBroker(t, map[string]script{"wait": waitScript})
	other := newTestBroker(t, nil)
	c := serve(t, b).client(t, func(cfg *ClientConfig) { cfg.TLS = pinned(other.host.PublicKey()) })
	if _, err := openErr(c, "wait", shell.OpenRequest{}); err == nil || lost(err) && b.seen("") > 0 {
		t.Errorf("got %v, %d calls", err, b.seen(""))
	}
}
