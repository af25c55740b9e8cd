package share

import (
	"bufio"
	"context"
	"fmt"
	"time"
)

// forward has the holder forward something itself, or end that.
func (g *guest) forward(ctx context.Context, ask Ask) {
	if g.holder.cfg.Forward == nil {
		_ = g.sendJSON(kindFailed, Failure{Code: 1, Lines: []string{"the holder of the connection forwards nothing"}})
		return
	}
	if g.send(kindBegun, nil) != nil {
		return
	}
	ports, err := g.holder.cfg.Forward(ctx, ask)
	if err != nil {
		_ = g.sendJSON(kindFailed, g.holder.cfg.Explain(err, nil))
		return
	}
	status := g.holder.Status()
	status.Ports = ports
	_ = g.sendJSON(kindStatus, status)
}

// stay counts the guest as a session until it leaves, or the holder ends.
func (g *guest) stay(ctx context.Context, in *bufio.Reader) {
	if !g.holder.count(g) {
		_ = g.sendJSON(kindFailed, Failure{Code: 255, Full: true, Lines: []string{"the shared connection has as many sessions as it may"}})
		return
	}
	defer context.AfterFunc(ctx, func() { g.conn.Close() })()
	if g.send(kindBegun, nil) == nil {
		_, _ = in.Peek(1)
	}
}

// forwardTime is how long a holder may take to forward something: it may have to
// ask the agent, and its key a person.
const forwardTime = 2 * time.Minute

// Forward has the holder forward something, or end that, and returns what it does then.
func (c *Conn) Forward(a Ask) (Status, error) {
	defer c.Close()
	if err := c.ask(a); err != nil {
		return Status{}, err
	}
	k, data, err := receive(c.in, nil)
	if err == nil && k == kindBegun {
		_ = c.unix.SetDeadline(time.Now().Add(forwardTime))
		k, data, err = receive(c.in, nil)
	}
	return statusOf(k, data, err)
}

// Stay keeps the holder until ctx ends, with its error, or the holder does.
func (c *Conn) Stay(ctx context.Context) error {
	defer c.Close()
	if err := c.ask(Ask{Do: DoStay}); err != nil {
		return err
	}
	k, data, err := receive(c.in, nil)
	switch {
	case err != nil:
		return untouched(err)
	case k == kindFailed:
		return failureOf(data)
	case k != kindBegun:
		return fmt.Errorf("%w: %c in place of a beginning", errMessage, k)
	}
	_ = c.unix.SetDeadline(time.Time{})
	defer context.AfterFunc(ctx, c.Close)()
	_, err = c.in.Peek(1)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return gone(err)
}
