package broker

import (
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"unicode"
	"unicode/utf8"

	"shellagent/jwtauth"
	"shellagent/shell"
)

// refuse turns an error into what the client is told, the log line that says
// all, and the metric.
func (b *Broker) refuse(call *shell.Call, who *caller, err error) *shell.Reply {
	reply, reason := b.refusal(err)
	if reason.Ordinary() || errors.Is(err, errCutBody) {
		b.log.Debug("request of a client that leaves", "err", err, "key", who.kid, "method", call.Method, "target", call.Target, "remote", call.Remote)
		return reply
	}
	if provesNothing(reason, who) {
		reply, reason, err = b.penalise(call, reply, reason, err)
	}
	level := slog.LevelInfo
	if reason == shell.ReasonInternal || reason == shell.ReasonStart {
		level = slog.LevelError
	}
	e := shell.Event{Kind: shell.EventRefused, Reason: reason, Remote: call.Remote.Addr(), Key: who.kid, Count: 1, Err: err}
	if who.policy != nil {
		e.Subject = who.policy.Subject(who.kid)
	}
	e.Source = who.source
	if c := who.client; c != nil {
		g := c.session.Grant()
		e.Session, e.Source, e.Subject, e.Key = c.session.ID(), g.Source, g.Subject, g.Key
	}
	b.refusals.add(level, e,
		"err", err, "method", call.Method, "target", call.Target,
		"session", e.Session, "source", e.Source, "subject", e.Subject, "key", e.Key, "remote", call.Remote)
	b.observe(e)
	return reply
}

// provesNothing says whether a refused request costs its address a point: its
// signature did not hold, or it is by a key that may not do this.
func provesNothing(reason shell.Reason, who *caller) bool {
	switch reason {
	case shell.ReasonSessionUnknown, shell.ReasonRateLimited:
		return who.token == nil
	default:
		return reason.Refusal().Code == shell.ReasonUnknownKey.Refusal().Code
	}
}

// penalise counts a refusal against its address. One that is held back tells
// why in the place of its reason, which the log keeps.
func (b *Broker) penalise(call *shell.Call, reply *shell.Reply, reason shell.Reason, err error) (*shell.Reply, shell.Reason, error) {
	reply.Wait = b.penalties.Add(call.Remote.Addr(), 1)
	if reply.Wait == 0 || reason == shell.ReasonSessionUnknown {
		return reply, reason, err
	}
	row := shell.ReasonRateLimited.Refusal()
	reply.Status, reply.Code, reply.Detail = row.Status, row.Code, row.Text
	return reply, row.Reason, err
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
	reply := &shell.Reply{Status: row.Status, Code: row.Code, Detail: sentence(text), Nonce: nonce}
	var gap *shell.OffsetError
	if errors.As(err, &gap) {
		reply.Body, _ = json.Marshal(nextAnswer{Next: gap.Next})
	}
	return reply, reason
}

// sentence makes a text fit for a reply: what the client sent may be quoted in
// it. It drops what could move a terminal's cursor and cuts what is too long.
func sentence(text string) string {
	text = strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, text)
	if len(text) <= maxDetail {
		return text
	}
	cut := maxDetail - len("…")
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}
