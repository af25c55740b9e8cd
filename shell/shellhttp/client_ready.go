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
// asks the agent whether it is well, every 40 s, after a session took the connection
// that was ready, and at once when one broke off with its own; it makes another when
// this machine's addresses change.
func (c *Client) KeepReady(ctx context.Context) {
	c.keeps.Store(true)
	go watchAddresses(ctx, func() {
		c.streams.CloseIdleConnections() // they may be of an address that is gone
		c.wantReady(readySoon)
	})
	timer := time.NewTimer(readyEvery)
	defer timer.Stop()
	last := time.Now()
	for {
		select {
		case in := <-c.wanted:
			timer.Reset(in)
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

// wantReady has KeepReady, if it runs, look after a connection in so much time.
func (c *Client) wantReady(in time.Duration) {
	select {
	case c.wanted <- in:
	default:
	}
}
