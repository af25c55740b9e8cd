package shellhttp

import (
	"context"
	"fmt"
	"net/http"
)

// Attach takes a session of the signer's key over, with a session key of its
// own: from now on it belongs to this client, and the one before is told. It
// starts with up to 256 KiB of output that was shown before, so that a screen
// can be drawn; see also [Session.Redraw]. ctx bounds the attaching only.
func (c *Client) Attach(ctx context.Context, id string) (*Session, error) {
	if err := c.known(); err != nil {
		return nil, err
	}
	if !unreserved(id) || id == "" {
		return nil, fmt.Errorf("%.60q is not a session id", id)
	}
	c.postDialer.prime(c.addr, c.cfg.Timeout)
	for try := 1; ; try++ {
		key, err := newSessionKey()
		if err != nil {
			return nil, err
		}
		key.session = id
		// An attach whose answer is lost is made again with another key, which
		// takes over from the one that nobody will use.
		st, err := c.openStream(ctx, key, exchange{
			method: http.MethodPost, target: "/v1/sessions/" + id + "/attach",
			sign: c.opening(key),
		})
		if err == nil {
			return newSession(c, key, st), nil
		}
		if !lost(err) || try >= openTries {
			return nil, fmt.Errorf("attach to the session %s: %w", id, err)
		}
		if !pause(ctx, backoff(try)) {
			return nil, context.Cause(ctx)
		}
	}
}
