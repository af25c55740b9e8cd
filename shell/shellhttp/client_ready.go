package shellhttp

import (
	"context"
	"net/http"
	"time"
)

// readyEvery is how often a connection that nobody uses is asked for a sign of
// life: before the agent or the client would close it, and often enough that one
// that a firewall forgot is not met by the next session.
const readyEvery = 40 * time.Second

// readySoon is how long after a session took the connection that was ready another
// is seen to: what opens a session is not to wait for that, and a short one has
// given its connection back by then.
const readySoon = 250 * time.Millisecond

// KeepReady has a connection ready for the next session, besides those that
// sessions use, until ctx ends: opening one takes a single round trip then. It
// asks the agent whether it is well, every 40 s and after a session took the
// connection that was ready, and makes another when this machine's addresses change.
func (c *Client) KeepReady(ctx context.Context) {
	go watchAddresses(ctx, func() {
		c.streams.CloseIdleConnections() // they may be of an address that is gone
		c.wantReady()
	})
	timer := time.NewTimer(readyEvery)
	defer timer.Stop()
	last := time.Now()
	for {
		select {
		case <-c.wanted:
			timer.Reset(readySoon)
			continue
		case <-timer.C:
			// A machine that slept finds its connections dead, and its timers late by
			// the clock on the wall alone.
			if now := time.Now(); now.Round(0).Sub(last.Round(0)) > idleTime {
				c.streams.CloseIdleConnections()
			}
		case <-ctx.Done():
			return
		}
		// What it comes to is seen by who opens a session.
		_, _ = c.fetch(ctx, exchange{method: http.MethodGet, target: "/healthz"})
		last = time.Now()
		timer.Reset(readyEvery)
	}
}

// wantReady wakes KeepReady, if it runs.
func (c *Client) wantReady() {
	select {
	case c.wanted <- struct{}{}:
	default:
	}
}
