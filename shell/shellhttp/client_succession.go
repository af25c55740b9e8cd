package shellhttp

import (
	"shellagent/jwtauth"
	"shellagent/shell"
)

// hostKeys are the keys that the agent's streams may be signed by, the
// configured one first.
func (c *Client) hostKeys() []jwtauth.PublicKey {
	if next := c.next.Load(); next != nil {
		return []jwtauth.PublicKey{c.cfg.HostKey, *next}
	}
	return []jwtauth.PublicKey{c.cfg.HostKey}
}

// learn passes on what a stream announces, whose session event was checked.
func (c *Client) learn(info shell.SessionInfo) {
	if c.cfg.Succeeds == nil {
		return
	}
	if next := c.cfg.Succeeds((*jwtauth.Succession)(info.NextHostKey)); !next.IsZero() {
		c.next.Store(&next)
	}
}
