package broker

import (
	"context"
	"errors"
	"time"

	"shellagent/internal/failpoint"
	"shellagent/jwtauth"
	"shellagent/shell"
)

// stdin hands input to the session's program.
func (b *Broker) stdin(ctx context.Context, who *caller, body []byte, began time.Time) (*shell.Reply, error) {
	in, err := shell.ParseStdin(body)
	if err != nil {
		return nil, shell.Deny(shell.ReasonBody, err)
	}
	s := who.client.session
	failpoint.Hit(failpoint.InputVerified, "")
	next, err := s.Stdin(ctx, who.kid, in)
	failpoint.Hit(failpoint.InputHeld, "")
	if err != nil {
		return nil, err
	}
	g := s.Grant()
	b.observe(shell.Event{
		Kind: shell.EventStdin, Source: g.Source, Subject: g.Subject,
		Duration: b.now().Sub(began), Input: uint64(len(in.Data)),
	})
	if in.Cover > 0 {
		return &shell.Reply{Status: 200, Body: appendNextWide(nil, next)}, nil
	}
	return &shell.Reply{Status: 200, Body: appendNext(nil, next)}, nil
}

// control resizes, signals, acknowledges or closes.
func (b *Broker) control(ctx context.Context, who *caller, body []byte) (*shell.Reply, error) {
	var req shell.ControlRequest
	if err := decode(body, &req); err != nil {
		return nil, shell.Deny(shell.ReasonBody, err)
	}
	if err := req.Validate(); err != nil {
		return nil, &shell.Denied{Reason: shell.ReasonBody, Err: err, Public: "the control request is not valid: " + err.Error()}
	}
	s := who.client.session
	failpoint.Hit(failpoint.AckVerified, "")
	err := s.Control(ctx, who.kid, req)
	failpoint.Hit(failpoint.AckTaken, "")
	if err != nil {
		return nil, err
	}
	return &shell.Reply{Status: 200, Body: appendNext(nil, s.StdinNext())}, nil
}

// resume goes on with a stream after its connection was lost.
func (b *Broker) resume(call *shell.Call, who *caller, from uint64) (*shell.Reply, error) {
	return b.stream(who.client.session, call, who, who.client.key, from)
}

// stream attaches the holder of a session key and answers with the frames from
// the given output offset on, the host-signed session frame first.
func (b *Broker) stream(s *shell.Session, call *shell.Call, who *caller, key jwtauth.PublicKey, from uint64) (*shell.Reply, error) {
	st, err := s.Attach(key.Thumbprint(), call.Remote.Addr(), from)
	if err != nil {
		return nil, err
	}
	banner := ""
	if st.From() == 0 {
		banner = s.Grant().Banner
	}
	return b.streamReply(s, st, who, key, banner)
}

// streamReply is a stream, with a banner unless the client has been shown one.
func (b *Broker) streamReply(s *shell.Session, st viewer, who *caller, key jwtauth.PublicKey, banner string) (*shell.Reply, error) {
	first, err := b.sessionFrame(s, st, who, key, banner)
	if err != nil {
		st.Close()
		return nil, shell.Deny(shell.ReasonInternal, err)
	}
	return &shell.Reply{Status: 200, Stream: newFrameReader(first, st)}, nil
}

// attach takes a session over with a new session key: its owner comes back
// from another terminal or another machine.
func (b *Broker) attach(ctx context.Context, call *shell.Call, who *caller, id string) (*shell.Reply, error) {
	l, err := b.owned(ctx, call, who, id)
	if err != nil {
		return nil, err
	}
	holder, err := who.holder(id)
	if err != nil {
		return nil, err
	}
	key := holder.key
	kid := key.Thumbprint()
	holder.session = l.session
	b.mu.Lock()
	_, used := b.clients[kid]
	_, alive := b.lives[id]
	switch {
	case used:
		b.mu.Unlock()
		return nil, shell.Deny(shell.ReasonSessionConflict, errors.New("cnf is in use"))
	case !alive:
		b.mu.Unlock()
		return nil, shell.Deny(shell.ReasonSessionUnknown, nil)
	case len(l.kids) >= maxKids:
		delete(b.clients, l.kids[0])
		l.kids = l.kids[1:]
	}
	b.clients[kid] = holder
	l.kids = append(l.kids, kid)
	b.mu.Unlock()
	st, err := l.session.TakeOver(kid, call.Remote.Addr())
	if err != nil {
		b.mu.Lock()
		delete(b.clients, kid)
		b.mu.Unlock()
		return nil, err
	}
	b.logger(l.session).Info("session taken over", "remote", call.Remote)
	return b.streamReply(l.session, st, who, key, "")
}

// maxKids bounds the session keys of one session that are still told that
// another client has taken it over.
const maxKids = 8

// kill ends one of the caller's own sessions.
func (b *Broker) kill(ctx context.Context, call *shell.Call, who *caller, id string) (*shell.Reply, error) {
	l, err := b.owned(ctx, call, who, id)
	if err != nil {
		return nil, err
	}
	l.session.HangUp("killed by its owner")
	return answer(struct {
		Ended bool `json:"ended"`
	}{true})
}

// sessionFrame proves to the client which agent answers and to which token.
func (b *Broker) sessionFrame(s *shell.Session, st viewer, who *caller, key jwtauth.PublicKey, banner string) (shell.Frame, error) {
	g := s.Grant()
	token, next, err := b.hostToken(s, who, key)
	if err != nil {
		return shell.Frame{}, err
	}
	data, err := marshal(shell.SessionInfo{
		ID: s.ID(), Token: token, From: st.From(), End: st.End(), Stdin: s.StdinNext(),
		Linger: int64(g.Limits.Linger / time.Millisecond), Terminal: s.Request().Terminal != nil,
		Source: g.Source, User: g.Credential.User, Host: b.hostname, NextHostKey: next, Cover: offeredCover(s, g), Banner: banner,
	})
	return shell.Frame{Type: shell.FrameSession, End: st.From(), Data: data}, err
}

// offeredCover says whether a session's input may be under keystroke cover.
func offeredCover(s *shell.Session, g shell.Grant) string {
	if s.Request().Terminal == nil {
		return ""
	}
	return g.Cover
}
