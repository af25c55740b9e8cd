package broker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"shellagent/jwtauth"
	"shellagent/shell"
	"shellagent/sources"
)

// caller is who a call turned out to be. It grows as the call is verified, so
// that a refusal's log line can say what was known at that point.
type caller struct {
	token  *jwtauth.Token
	key    jwtauth.PublicKey
	mac    *jwtauth.MAC // agreed with the holder of key; nil for none
	kid    string
	client *client // request tokens only
	// left says that the session of a request token has ended and is forgotten.
	left   bool
	policy *sources.Policy
	source string
	// share ends the agreement on a MAC in the answer, "" for none.
	share string
	// vouched is what a verify command said of a key that is not listed for source.
	vouched *sources.Voucher
	// again is what verify commands said of a key that comes back, by source.
	again map[string]vouchedAgain
}

// bodies are kept for stdin requests: most are a keystroke, and a bulk upload
// sends many of the same size.
var bodies = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

// verifySignature finds the key that the token names and checks the signature
// over its raw bytes. Nothing of the payload is decoded before that holds, but
// for a source with verify commands: see vouch.
func (b *Broker) verifySignature(ctx context.Context, call *shell.Call, u jwtauth.Unverified, who *caller) error {
	who.kid = u.Kid
	if u.Type == jwtauth.TypeIdentity {
		who.policy = b.Policy()
		if err := b.vouch(ctx, call, u, who); err != nil {
			return err
		}
	}
	c, urgent := b.client(u.Kid)
	if err := b.turns.Take(ctx, call.Remote.Addr(), urgent); err != nil {
		return shell.Deny(shell.ReasonUnavailable, err)
	}
	defer b.turns.Done()
	switch {
	case u.Type == jwtauth.TypeRequest && urgent:
		who.client, who.key, who.mac = c, c.key, c.mac
	case u.Type == jwtauth.TypeRequest:
		if l, ok := b.leaver(u.Kid); ok {
			who.left, who.key, who.mac = true, l.key, l.mac
			break
		}
		jwtauth.VerifyDummy(u)
		return shell.Deny(shell.ReasonSessionUnknown, errors.New("no session has this key"))
	case who.vouched != nil:
		who.key = who.vouched.Key
	case u.Type == jwtauth.TypeIdentity:
		key, ok := b.identityKey(who.policy, u.Kid)
		if !ok {
			jwtauth.VerifyDummy(u)
			return shell.Deny(shell.ReasonUnknownKey, fmt.Errorf("no entry and no live session has the key %s", u.Kid))
		}
		who.key = key
	default:
		return shell.Deny(shell.ReasonTokenType, fmt.Errorf("type %q opens nothing here", u.Type))
	}
	token, err := who.verify(u)
	if err != nil {
		return err
	}
	who.token = token
	return nil
}

// holder makes the caller the holder of the session key that their identity
// token names, of which no session knew before. They are told what the MAC is
// agreed by in the answer to this very token.
func (who *caller) holder(session string) (*client, error) {
	mac, share, err := jwtauth.AgreeMAC(who.token, session)
	if err != nil {
		return nil, err
	}
	who.share = share
	return &client{key: who.token.Claims.Session, owner: who.kid, mac: mac, host: who.knownAs()}, nil
}

// verify checks the signature, or the MAC, of a token whose key was found.
func (who *caller) verify(u jwtauth.Unverified) (*jwtauth.Token, error) {
	if u.Alg == jwtauth.AlgHS256 && u.Type == jwtauth.TypeRequest {
		return who.mac.Verify(u)
	}
	return u.Verify(who.key)
}

// verifyBinding checks that a verified token is fresh, is for this agent, and
// is for exactly this request. The body it read is valid until release is called.
func (b *Broker) verifyBinding(call *shell.Call, r route, who *caller) (body []byte, release func(), err error) {
	release = func() {}
	if err := b.checkToken(who.token, r); err != nil {
		return nil, release, err
	}
	if call.Size > r.body {
		return nil, release, shell.Deny(shell.ReasonBodyTooLarge, fmt.Errorf("%d bytes, at most %d", call.Size, r.body))
	}
	if who.token.Tagged() {
		// Before the body: there is one comparison of a tag for a counter.
		if err := who.client.window.Take(who.token); err != nil {
			return nil, release, err
		}
	}
	buf := bodies.Get().(*[]byte)
	release = func() { bodies.Put(buf) }
	if cap(*buf) < call.Size {
		*buf = make([]byte, call.Size)
	}
	body = (*buf)[:call.Size]
	if call.Size > 0 {
		if _, err := io.ReadFull(call.Body, body); err != nil {
			return nil, release, shell.Deny(shell.ReasonMalformed, fmt.Errorf("%w: %w", errCutBody, err))
		}
	}
	return body, release, who.token.CheckRequest(call.Method, call.Target, body)
}

// errCutBody says that a client whose token was verified went away while it sent,
// which nobody is left to be told, and is no attempt at anything.
var errCutBody = errors.New("the body was cut off")

// checkToken is what can be said of a token before the body is there, which a
// slow one must not make stale.
func (b *Broker) checkToken(t *jwtauth.Token, r route) error {
	if r.identity() != (t.Type == jwtauth.TypeIdentity) {
		return shell.Deny(shell.ReasonTokenType, fmt.Errorf("%s is not for this path", t.Type))
	}
	if t.Type == jwtauth.TypeIdentity {
		if err := b.checkAudience(t); err != nil {
			return err
		}
	}
	return b.guard.Fresh(t)
}

// useUp takes the token for good. For an identity token that is after policy
// agreed, so that nobody without a right fills the memory of used ones.
func (b *Broker) useUp(who *caller) error {
	if who.client != nil {
		if !who.token.Tagged() {
			if err := who.client.window.Take(who.token); err != nil {
				return err
			}
		}
		if who.token.Claims.Nonce == "" {
			return nil
		}
	}
	return b.guard.Consume(who.token)
}

func (b *Broker) client(kid string) (*client, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c, ok := b.clients[kid]
	return c, ok
}
