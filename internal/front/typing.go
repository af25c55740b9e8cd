package front

import (
	"context"
	"strings"

	"shellagent/internal/thrift"
	"shellagent/shell"
	"shellagent/shell/shellhttp"
)

// typing passes calls on, and tells from them whether somebody types.
type typing struct {
	thrift.Typing
	calls shellhttp.Caller
}

// Call implements [shellhttp.Caller].
func (t *typing) Call(ctx context.Context, c *shell.Call) (*shell.Reply, error) {
	if c.Method == "POST" && strings.HasSuffix(c.Target, "/stdin") {
		t.Now()
	}
	return t.calls.Call(ctx, c)
}
