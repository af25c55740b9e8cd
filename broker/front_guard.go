package broker

import (
	"context"
	"log/slog"
	"runtime/debug"

	"shellagent/shell"
)

// guarded is a handler whose panics end a call, not the agent with everybody's
// sessions.
type guarded struct {
	Handler
	log *slog.Logger
}

// Handle implements [Handler].
func (g guarded) Handle(ctx context.Context, c *shell.Call) (reply *shell.Reply) {
	defer func() {
		if p := recover(); p != nil {
			g.log.Error("panic in a call", "panic", p, "method", c.Method, "target", c.Target, "remote", c.Remote, "stack", string(debug.Stack()))
			reply = refusalReply(shell.ReasonInternal)
		}
	}()
	return g.Handler.Handle(ctx, c)
}
