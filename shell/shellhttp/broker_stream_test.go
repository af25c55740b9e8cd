package shellhttp

import (
	"context"
	"encoding/json"
	"net/netip"
	"strconv"
	"strings"

	"shellagent/jwtauth"
	"shellagent/shell"
)

func (b *testBroker) stream(c *testClient, token *jwtauth.Token, from uint64) (*shell.Reply, error) {
	st, err := c.session.Attach(c.key.Thumbprint(), netip.Addr{}, from)
	if err != nil {
		return nil, err
	}
	return b.streamReply(c, token, st)
}

// attach gives a session to the key that an identity token names.
func (b *testBroker) attach(id string, token *jwtauth.Token) (*shell.Reply, error) {
	s := b.registry.ByID(id)
	if s == nil {
		return nil, shell.Deny(shell.ReasonSessionUnknown, nil)
	}
	c, err := b.newTestClient(token, s)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	b.clients[c.key.Thumbprint()] = c
	b.mu.Unlock()
	st, err := s.TakeOver(c.key.Thumbprint(), netip.Addr{})
	if err != nil {
		return nil, err
	}
	return b.streamReply(c, token, st)
}

func (b *testBroker) watch(id, query string, token *jwtauth.Token) (*shell.Reply, error) {
	s := b.registry.ByID(id)
	if s == nil {
		return nil, shell.Deny(shell.ReasonSessionUnknown, nil)
	}
	look, remote := s.Watch, netip.MustParseAddr("192.0.2.9")
	if from, err := strconv.ParseUint(strings.TrimPrefix(query, "from="), 10, 64); err == nil {
		look = func(remote netip.Addr) (*shell.Watcher, error) { return s.WatchFrom(remote, from) }
	}
	w, err := look(remote)
	if err != nil {
		return nil, err
	}
	return b.streamReply(&testClient{key: token.Claims.Session, session: s}, token, w)
}

// view is what a client or a watcher has of a session.
type view interface {
	From() uint64
	End() uint64
	Next(context.Context, []byte) (shell.Frame, error)
	Close()
}

func (b *testBroker) streamReply(c *testClient, token *jwtauth.Token, st view) (*shell.Reply, error) {
	data, err := json.Marshal(shell.SessionInfo{
		ID: c.session.ID(), Token: b.hostToken(c, token), From: st.From(), End: st.End(), Stdin: c.session.StdinNext(),
		Terminal: c.session.Request().Terminal != nil, Source: "test", User: "tester", Host: "here", Linger: b.linger.Milliseconds(),
		Cover: shell.CoverOffered,
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	first := shell.AppendFrame(nil, shell.Frame{Type: shell.FrameSession, End: st.From(), Data: data})
	return &shell.Reply{Status: 200, Stream: &testStream{st: st, ctx: ctx, cancel: cancel, rest: first, buf: make([]byte, 48<<10)}}, nil
}

func (b *testBroker) hostToken(c *testClient, asked *jwtauth.Token) string {
	signer := b.host
	if other := b.signer.Load(); other != nil {
		signer = other
	}
	claims := jwtauth.Claims{
		IssuedAt: jwtauth.NumericDateOf(b.now()), Audience: c.key.Thumbprint(), SessionID: c.session.ID(), OpenHash: asked.Hash(),
	}
	if asked.Type == jwtauth.TypeIdentity {
		claims.Share = c.share
	}
	token, err := jwtauth.Sign(context.Background(), signer, jwtauth.TypeHost, claims)
	if err != nil {
		b.t.Error(err)
	}
	if b.inTransit != nil {
		return b.inTransit(token)
	}
	return token
}

func jsonReply(v any) (*shell.Reply, error) {
	body, err := json.Marshal(v)
	return &shell.Reply{Status: 200, Body: body}, err
}

// testStream is a session's stream in the binary encoding.
type testStream struct {
	st     view
	ctx    context.Context
	cancel context.CancelFunc
	rest   []byte
	buf    []byte
	frame  []byte
}

func (s *testStream) Read(p []byte) (int, error) {
	if len(s.rest) == 0 {
		f, err := s.st.Next(s.ctx, s.buf)
		if err != nil {
			return 0, err
		}
		s.frame = shell.AppendFrame(s.frame[:0], f)
		s.rest = s.frame
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

func (s *testStream) Close() error {
	s.cancel()
	s.st.Close()
	return nil
}
