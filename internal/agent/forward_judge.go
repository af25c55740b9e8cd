package agent

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"time"

	"shellagent/internal/forward"
	"shellagent/internal/forwardd"
	"shellagent/shell"
)

// Judge implements [forwardd.Judge] with what the session is granted now.
func (f *forwarding) Judge(q forwardd.Question) (forwardd.Permit, *forward.Refusal) {
	permit, ok := judge(f.session.Grant().Forward, q)
	if ok && q.Kind == forward.Agent && q.Do == forwardd.DoListen {
		ok = f.addSocket(q.Path)
	}
	switch {
	case !ok:
		f.tell(shell.EventForwardDenied, q, forwardd.End{Code: forward.CodeDenied})
		return permit, &forward.Refusal{Code: forward.CodeDenied, Detail: refusalText(q)}
	case !permit.Lookup:
		q.Addresses = permit.Addresses
		f.tell(shell.EventForwardOpened, q, forwardd.End{})
	}
	return permit, nil
}

// Ended implements [forwardd.Judge].
func (f *forwarding) Ended(q forwardd.Question, e forwardd.End) {
	if q.Kind == forward.Agent && q.Do == forwardd.DoListen {
		f.removeSocket(q.Path)
	}
	kind := shell.EventForwardEnded
	if e.Never {
		kind = shell.EventForwardFailed
	}
	f.tell(kind, q, e)
}

// judge says what a session that may do what g says is let do. A session that may
// forward nothing has no g.
func judge(g *shell.Forward, q forwardd.Question) (p forwardd.Permit, ok bool) {
	if g == nil {
		return p, false
	}
	switch {
	case q.Kind == forward.Agent:
		// A helper is its user's, who may have made it say anything: what an upgrade
		// would not take over is not taken down.
		return p, g.Agent && q.Do != forwardd.DoOpen && filepath.IsAbs(q.Path)
	case q.Kind == forward.Unix && q.Do == forwardd.DoOpen:
		return p, shell.HasPath(g.Local, q.Path)
	case q.Kind == forward.Unix:
		return p, shell.HasPath(g.Remote, q.Path)
	case q.Do != forwardd.DoOpen:
		p.Addresses, ok = shell.Listen(g.Remote, q.Host, q.Port, q.Addresses)
		return p, ok
	case q.Addresses == nil:
		p.Lookup = true
		return p, shell.MayReach(g.Local, q.Host, q.Port)
	}
	p.Addresses = shell.Reach(g.Local, q.Host, q.Port, q.Addresses)
	return p, len(p.Addresses) > 0
}

// destination is what a question is about, as people write it.
func destination(q forwardd.Question) string {
	switch {
	case q.Kind == forward.Agent:
		return forward.Agent
	case q.Kind == forward.Unix:
		return q.Path
	}
	host := q.Host
	if host == "" && len(q.Addresses) > 0 {
		host = q.Addresses[0].String()
	}
	if host == "" && q.Port == 0 {
		return "" // nobody knows
	}
	return net.JoinHostPort(host, strconv.Itoa(int(q.Port)))
}

// refusalText tells the client, who was let in and may know. What a name was looked
// up as is not for it to know.
func refusalText(q forwardd.Question) string {
	switch {
	case q.Kind == forward.Agent:
		return "the source forwards no key agent (allow.agentForward)"
	case q.Do == forwardd.DoOpen:
		return fmt.Sprintf("the source allows no connection to %s (allow.localForward)", destination(q))
	case q.Do == forwardd.DoListen:
		return fmt.Sprintf("the source does not let %s be listened on (allow.remoteForward)", destination(q))
	}
	return fmt.Sprintf("the source does not let %s be listened on any more", destination(q))
}

// tell tells of one thing that was let or not let happen, or that ended.
func (f *forwarding) tell(kind shell.EventKind, q forwardd.Question, e forwardd.End) {
	g := f.session.Grant()
	addresses := q.Addresses
	if len(addresses) == 1 && q.Host == "" {
		addresses = nil // it is the destination
	}
	f.of.observe(shell.Event{
		Kind: kind, Session: f.session.ID(), Source: g.Source, Subject: g.Subject, Key: g.Key,
		User: g.Credential.User, UID: g.Credential.UID, Remote: f.session.Remote(),
		Duration: time.Duration(min(e.Seconds, maxSeconds) * float64(time.Second)), Input: e.FromClient, Output: e.ToClient,
		Detail: &shell.Detail{
			Operation: g.Operation, Labels: g.Labels, Email: g.Email,
			Forward: &shell.Forwarded{Do: q.Do, Destination: destination(q), Addresses: append([]netip.Addr(nil), addresses...), From: q.From, Code: string(e.Code), Broken: e.Broken},
		},
	})
	if kind == shell.EventForwardDenied && f.logs.Allow() {
		f.of.log.Info("forward denied", "session", f.session.ID(), "source", g.Source, "subject", g.Subject, "do", q.Do, "destination", destination(q), "addresses", q.Addresses)
	}
}

// maxSeconds keeps a duration that a helper tells within what one can be.
const maxSeconds = 1e9
