package broker

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"time"

	"shellagent/jwtauth"
	"shellagent/shell"
)

// Handle verifies, decides and acts upon one call: [Handler].
func (b *Broker) Handle(ctx context.Context, call *shell.Call) *shell.Reply {
	began := b.now()
	var who caller
	reply, err := b.handle(ctx, call, &who, began)
	if err != nil {
		return b.refuse(call, &who, err)
	}
	return reply
}

func (b *Broker) handle(ctx context.Context, call *shell.Call, who *caller, began time.Time) (*shell.Reply, error) {
	if call.Token == "" {
		return nil, shell.Deny(shell.ReasonNoToken, nil)
	}
	u, err := jwtauth.Parse(call.Token)
	if err != nil {
		return nil, err
	}
	if err := b.verifySignature(ctx, call, u, who); err != nil {
		return nil, err
	}
	r, denied := parseRoute(call.Method, call.Target)
	if denied != nil {
		return nil, denied
	}
	body, release, err := b.verifyBinding(call, r, who)
	defer release()
	if err != nil {
		return nil, err
	}
	if r.action != actOpen {
		// An open is used up after its policy was asked.
		if err := b.useUp(who); err != nil {
			return nil, err
		}
	}
	switch r.action {
	case actOpen:
		who.source = r.name
		return b.open(ctx, call, who, r.name, body, began)
	case actAttach:
		return b.attach(call, who, r.name)
	case actList:
		return b.list(who)
	case actKill:
		return b.kill(who, r.name)
	}
	if r.name != who.client.session.ID() {
		return nil, shell.Deny(shell.ReasonSessionOwner, errors.New("the token is of another session"))
	}
	switch r.action {
	case actStream:
		return b.resume(call, who, r.from)
	case actStdin:
		return b.stdin(ctx, who, body, began)
	default:
		return b.control(ctx, who, body)
	}
}

// refuse turns an error into what the client is told, the log line that says
// all, and the metric.
func (b *Broker) refuse(call *shell.Call, who *caller, err error) *shell.Reply {
	reply, reason := b.refusal(err)
	level := slog.LevelInfo
	if reason == shell.ReasonInternal || reason == shell.ReasonStart {
		level = slog.LevelError
	}
	e := shell.Event{Kind: shell.EventRefused, Reason: reason, Remote: call.Remote.Addr(), Key: who.kid, Count: 1}
	if who.policy != nil {
		e.Subject = who.policy.Subject(who.kid)
	}
	e.Source = who.source
	if c := who.client; c != nil {
		g := c.session.Grant()
		e.Session, e.Source, e.Subject, e.Key = c.session.ID(), g.Source, g.Subject, g.Key
	}
	b.log.Log(context.Background(), level, "refused",
		"reason", reason, "err", err, "method", call.Method, "target", call.Target,
		"session", e.Session, "source", e.Source, "subject", e.Subject, "key", e.Key, "remote", call.Remote)
	b.observe(e)
	return reply
}

func (b *Broker) refusal(err error) (*shell.Reply, shell.Reason) {
	var token *jwtauth.Error
	var denied *shell.Denied
	reason, nonce, text := shell.ReasonInternal, "", ""
	switch {
	case errors.As(err, &denied):
		reason, text = denied.Reason, denied.Public
	case errors.As(err, &token):
		reason, nonce = shell.Reason(token.Reason), token.Nonce
	}
	row := reason.Refusal()
	if text == "" {
		text = row.Text
	}
	reply := &shell.Reply{Status: row.Status, Code: row.Code, Detail: text, Nonce: nonce}
	var gap *shell.OffsetError
	if errors.As(err, &gap) {
		reply.Body, _ = json.Marshal(nextAnswer{Next: gap.Next})
	}
	return reply, reason
}

// nextAnswer tells the next input offset that the agent expects.
type nextAnswer struct {
	Next uint64 `json:"next"`
}

func answer(v any) (*shell.Reply, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return nil, shell.Deny(shell.ReasonInternal, err)
	}
	return &shell.Reply{Status: 200, Body: body}, nil
}
