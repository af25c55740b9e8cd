package broker

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/go-json-experiment/json"

	"shellagent/jwtauth"
	"shellagent/shell"
	"shellagent/sources"
)

// open starts the session that the token's session key names, or attaches to
// it when an earlier answer to the same open was lost.
func (b *Broker) open(ctx context.Context, call *shell.Call, who *caller, source string, body []byte, began time.Time) (*shell.Reply, error) {
	if b.stopping.Load() {
		return nil, shell.Deny(shell.ReasonStopping, nil)
	}
	var req shell.OpenRequest
	if err := decode(body, &req); err != nil {
		return nil, shell.Deny(shell.ReasonOpenRequest, err)
	}
	if err := req.Validate(); err != nil {
		return nil, &shell.Denied{Reason: shell.ReasonOpenRequest, Err: err, Public: "the open request is not valid: " + err.Error()}
	}
	key := who.token.Claims.Session
	if _, listed := who.policy.Key(key.Thumbprint()); listed {
		return nil, shell.Deny(shell.ReasonClaims, errors.New("cnf is a listed key: a session key must be fresh"))
	}
	ask := sources.Request{
		Source: source, Key: who.key, Vouched: who.vouched, Claims: who.token.Claims.Map,
		Remote: call.Remote.Addr(), Now: b.now(), Open: req, AgentSocket: b.sockets,
	}
	s, existed, err := b.decideAndStart(ctx, call, who, ask, body, key)
	if err != nil {
		return nil, err
	}
	if existed {
		// Nobody agrees on a MAC for a key that writes already: this token does
		// not prove that they have it.
		who.share = ""
	} else {
		b.opened(s, call, began)
	}
	return b.stream(s, call, who, key, 0)
}

// decideAndStart asks policy and starts the program, once for a session key.
func (b *Broker) decideAndStart(ctx context.Context, call *shell.Call, who *caller, ask sources.Request, body []byte, key jwtauth.PublicKey) (*shell.Session, bool, error) {
	grant, err := who.policy.Decide(ctx, ask)
	if err != nil {
		return nil, false, err
	}
	if err := b.useUp(who); err != nil {
		return nil, false, err
	}
	kid := key.Thumbprint()
	holder, err := who.holder(kid)
	if err != nil {
		return nil, false, err
	}
	opening := shell.Opening{
		ID: kid, Key: who.kid, Hash: openHash(ask.Source, body),
		Source: ask.Source, MaxSessions: grant.Limits.MaxSessions,
	}
	return b.sessions.Open(ctx, opening, func() (*shell.Session, error) {
		if b.admits != nil {
			if err := b.admits(); err != nil {
				return nil, &shell.Denied{Reason: shell.ReasonUnavailable, Err: err, Public: "the agent cannot write down who does what, and lets nobody do it: its audit trail has no room"}
			}
		}
		recording, err := b.record(kid, grant, ask.Open, call.Remote)
		if err != nil {
			return nil, denial(shell.ReasonRecording, err)
		}
		// The session outlives the connection that asked for it.
		p, err := b.start(context.WithoutCancel(ctx), grant, ask.Open, call.Remote)
		if err != nil {
			recording.Discard()
			return nil, denial(shell.ReasonStart, err)
		}
		s := shell.NewSession(shell.SessionConfig{
			ID: kid, Grant: grant, Request: ask.Open, Remote: call.Remote.Addr(),
			SessionKey: kid, OpenHash: opening.Hash, OnEvent: b.sessionEvent, Now: b.now,
			OnGone: func() { b.forget(kid) }, Tap: recording.Tap(),
		}, p)
		recording.Follow(s)
		if b.drain != nil && grant.Drain != nil {
			b.drain(s, grant)
		}
		if b.forward != nil && grant.Forward != nil {
			b.forward(s, p)
		}
		b.admit(s, ask, who.policy, holder)
		return s, nil
	})
}

// denial is an error that is a *[shell.Denied]: itself, or for the reason.
func denial(reason shell.Reason, err error) error {
	var denied *shell.Denied
	if errors.As(err, &denied) {
		return err
	}
	return shell.Deny(reason, err)
}

// openHash tells a repeated open from another one with the same session key.
func openHash(source string, body []byte) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n", source)
	h.Write(body)
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// admit makes the session and the holder of its key known to requests and to
// policy, until forget.
func (b *Broker) admit(s *shell.Session, ask sources.Request, used *sources.Policy, holder *client) {
	kid := holder.key.Thumbprint()
	holder.session = s
	ask.Again = true
	l := &live{session: s, request: ask, uid: s.Grant().Credential.UID, kids: []string{kid}}
	b.mu.Lock()
	b.lives[s.ID()] = l
	b.remember(l)
	b.clients[kid] = holder
	b.mu.Unlock()
	// A policy that came into force since then has not seen this session.
	if p := b.Policy(); p != used {
		b.askAgain(context.Background(), p, l)
	}
}

// forget drops what was kept of a session that is gone.
func (b *Broker) forget(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.lives[id]
	if l == nil {
		return
	}
	delete(b.lives, id)
	b.unremember(l)
	for _, kid := range l.kids {
		if c := b.clients[kid]; c != nil {
			b.leavers.add(kid, c, b.now())
		}
		delete(b.clients, kid)
	}
}

func (b *Broker) opened(s *shell.Session, call *shell.Call, began time.Time) {
	g := s.Grant()
	took := b.now().Sub(began)
	b.logger(s).Info("session opened", "user", g.Credential.User, "argv", g.Argv, "remote", call.Remote, "label", g.Label, "took", took)
	e := sessionFact(shell.EventOpened, s)
	e.Remote, e.Duration = call.Remote.Addr(), took
	e.Detail = &shell.Detail{Command: s.Request().Asked(), Argv: g.Argv, Terminal: s.Request().Terminal != nil, Operation: g.Operation, Labels: g.Labels, Email: g.Email}
	b.observe(e)
}

// sessionFact is a fact about a session with the session's names.
func sessionFact(kind shell.EventKind, s *shell.Session) shell.Event {
	g := s.Grant()
	return shell.Event{
		Kind: kind, Session: s.ID(), Source: g.Source, Subject: g.Subject, Key: g.Key,
		User: g.Credential.User, UID: g.Credential.UID,
	}
}

// sessionEvent passes on what a session tells of itself, and logs its ends.
func (b *Broker) sessionEvent(e shell.Event) {
	b.observe(e)
	// A logger is made where something is logged: output is told frame by frame.
	log := func() *slog.Logger {
		return b.log.With("session", e.Session, "source", e.Source, "subject", e.Subject, "key", e.Key)
	}
	switch e.Kind {
	case shell.EventEnded:
		log().Info("session ended", "user", e.User, "code", e.Exit.Code, "signal", e.Exit.Signal, "reason", e.Exit.Reason,
			"lasted", e.Duration, "input", e.Input, "output", e.Output)
	case shell.EventAttached:
		log().Debug("client attached", "remote", e.Remote)
	case shell.EventDetached:
		log().Debug("client detached", "remote", e.Remote)
	}
}

func (b *Broker) logger(s *shell.Session) *slog.Logger {
	g := s.Grant()
	return b.log.With("session", s.ID(), "source", g.Source, "subject", g.Subject, "key", g.Key)
}

// decode reads a request's JSON: one value, no unknown or doubled names.
func decode(body []byte, v any) error {
	return json.Unmarshal(body, v, json.RejectUnknownMembers(true))
}
