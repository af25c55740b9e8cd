package front

import (
	"context"
	"crypto/tls"
	"net"
	"time"

	"shellagent/broker"
)

// handshakeTurn bounds the wait for a turn; the handshake as a whole has about
// as long.
const handshakeTurn = 10 * time.Second

// handshakes lets a few TLS handshakes compute at a time, in turns of the
// addresses that they come from. A key exchange and a signature are what anybody
// can make the front do: without turns, a thousand of them at once would stand
// in a live session's way, and in that of an operator from elsewhere.
type handshakes struct{ turns *broker.Turns }

// hello takes a turn when a client has said hello. It is given back with the
// first flight that answers it, or when the connection is closed.
func (h handshakes) hello(info *tls.ClientHelloInfo) (*tls.Config, error) {
	c, ok := info.Conn.(*client)
	if !ok || h.turns == nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(info.Context(), handshakeTurn)
	defer cancel()
	from := c.RemoteAddr().(*net.TCPAddr).AddrPort().Addr()
	if err := h.turns.Take(ctx, from, false); err != nil {
		return nil, err
	}
	done := h.turns.Done
	c.turn.Store(&done)
	return nil, nil
}

// Write implements [net.Conn].
func (c *client) Write(p []byte) (int, error) {
	c.endTurn()
	return c.out.Write(p)
}

// endTurn gives the connection's turn back, if it has one.
func (c *client) endTurn() {
	if c.turn.Load() == nil {
		return
	}
	if done := c.turn.Swap(nil); done != nil {
		(*done)()
	}
}
