package shellhttp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"shellagent/jwtauth"
	"shellagent/shell"
)

// signFunc makes the token of one request. It is called again, with the nonce,
// when the agent asked for that.
type signFunc func(ctx context.Context, r jwtauth.Request, nonce string) (string, error)

var errSign = errors.New("cannot sign")

// identity signs with the key that a person guards and names the session key.
func (c *Client) identity(session jwtauth.PublicKey) signFunc { return c.identityOffering(session, "") }

// opening is identity for what gives the session key a session; it offers a MAC
// for the requests that follow.
func (c *Client) opening(k *sessionKey) signFunc {
	return func(ctx context.Context, r jwtauth.Request, nonce string) (string, error) {
		share, err := k.signer.Offer()
		if err != nil {
			return "", fmt.Errorf("%w: %w", errSign, err)
		}
		return c.identityOffering(k.signer.PublicKey(), share)(ctx, r, nonce)
	}
}

func (c *Client) identityOffering(session jwtauth.PublicKey, share string) signFunc {
	return func(ctx context.Context, r jwtauth.Request, nonce string) (string, error) {
		token, err := jwtauth.Sign(ctx, c.cfg.Signer, jwtauth.TypeIdentity, jwtauth.Claims{
			IssuedAt: jwtauth.NumericDateOf(time.Now()), ID: jwtauth.NewID(),
			RequestHash: jwtauth.RequestHash(r.Method, r.Target, r.Body),
			Audience:    c.cfg.HostKey.Thumbprint(), Session: session, Nonce: nonce, Share: share,
		})
		if err != nil {
			return "", fmt.Errorf("%w with the key %s: %w", errSign, c.cfg.Signer.PublicKey().Thumbprint(), err)
		}
		return token, nil
	}
}

// sessionKey signs the requests of one session. A request that is sent again is
// signed again.
type sessionKey struct {
	key     *jwtauth.PrivateKey
	signer  *jwtauth.RequestSigner
	id      string // thumbprint of the key
	session string // that it signs for; id, unless another key opened it
	// offset is the agent's clock less ours, in milliseconds.
	offset atomic.Int64
}

// newSessionKey makes the key of one session. It never leaves this process.
func newSessionKey() (*sessionKey, error) {
	key, err := typeableKey()
	if err != nil {
		return nil, fmt.Errorf("session key: %w", err)
	}
	id := key.PublicKey().Thumbprint()
	return &sessionKey{key: key, signer: jwtauth.NewRequestSigner(key), id: id, session: id}, nil
}

func (k *sessionKey) sign(ctx context.Context, r jwtauth.Request, nonce string) (string, error) {
	return k.signer.Sign(ctx, jwtauth.NumericDateOf(time.Now())+jwtauth.NumericDate(k.offset.Load()), r, nonce)
}

// signSized signs a request whose token and padded body together have a size.
func (k *sessionKey) signSized(ctx context.Context, r jwtauth.Request, size int) (token string, body []byte, err error) {
	return k.signer.SignSized(ctx, jwtauth.NumericDateOf(time.Now())+jwtauth.NumericDate(k.offset.Load()), r, size)
}

// retract says whether a request whose token the agent did not believe may be
// sent again with one of another kind: an agent may have lost what was agreed.
func (k *sessionKey) retract(token string) bool { return k.signer.Forgo(token) }

// ErrHost says that whoever answered could not prove to be the agent with the
// known host key. Nothing was sent to it but the request that asked.
var ErrHost = errors.New("the agent did not prove its host key")

// checkSession reads the session event of a stream that sentToken opened, and
// checks that the agent with the host key wrote it in answer to that token. It
// learns the agent's clock from it, and ends the agreement on a MAC.
func (k *sessionKey) checkSession(hosts []jwtauth.PublicKey, sentToken string, f shell.Frame) (shell.SessionInfo, error) {
	var info shell.SessionInfo
	if f.Type != shell.FrameSession {
		return info, fmt.Errorf("%w: the stream starts with %s instead of session", ErrStream, f.Type)
	}
	if err := json.Unmarshal(f.Data, &info); err != nil {
		return info, fmt.Errorf("%w: session event: %w", ErrStream, err)
	}
	u, err := jwtauth.Parse(info.Token)
	if err != nil {
		return info, fmt.Errorf("%w: %w", ErrHost, err)
	}
	host := hosts[0]
	for _, other := range hosts[1:] {
		if other.Thumbprint() == u.Kid {
			host = other
		}
	}
	token, err := u.Verify(host)
	if err != nil {
		return info, fmt.Errorf("%w: expected %s: %w", ErrHost, host.Thumbprint(), err)
	}
	switch claims := token.Claims; {
	case token.Type != jwtauth.TypeHost:
		err = fmt.Errorf("token of type %q", token.Type)
	case claims.Audience != k.id:
		err = errors.New("its token is for another client")
	case claims.SessionID != info.ID:
		err = errors.New("its token is for another session")
	case claims.OpenHash != jwtauth.TokenHash(sentToken):
		err = errors.New("its token answers another request")
	case info.From != f.End:
		return info, fmt.Errorf("%w: the session event is at offset %d and says %d", ErrStream, f.End, info.From)
	default:
		if err := k.signer.Agree(token); err != nil {
			return info, fmt.Errorf("%w: session event: %w", ErrStream, err)
		}
		k.offset.Store(token.Claims.IssuedAt.Time().UnixMilli() - time.Now().UnixMilli())
		return info, nil
	}
	return info, fmt.Errorf("%w: %w", ErrHost, err)
}

// typeableKey makes a key whose thumbprint, the session's id, does not begin
// with a dash: a person types it after a command, where it would be an option.
func typeableKey() (*jwtauth.PrivateKey, error) {
	for {
		key, err := jwtauth.GeneratePrivateKey()
		if err != nil || key.PublicKey().Thumbprint()[0] != '-' {
			return key, err
		}
	}
}
