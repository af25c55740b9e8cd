package shellhttp

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"shellagent/shell"
)

// Watch is a look at somebody's session. Next is for one goroutine. Close it in
// any case.
type Watch struct {
	stream *stream
	exited bool
}

// Watch looks on at a session of the signer's key, whose client is told. It
// begins with up to 256 KiB of output that was shown before. ctx bounds the
// opening only.
func (c *Client) Watch(ctx context.Context, id string) (*Watch, error) {
	if err := c.known(); err != nil {
		return nil, err
	}
	if !unreserved(id) || id == "" {
		return nil, fmt.Errorf("%.60q is not a session id", id)
	}
	key, err := newSessionKey()
	if err != nil {
		return nil, err
	}
	key.session = id
	st, err := c.openStream(ctx, key, exchange{
		method: http.MethodPost, target: "/v1/sessions/" + id + "/watch", sign: c.identity(key.key.PublicKey()),
	})
	if err != nil {
		return nil, fmt.Errorf("watch the session %s: %w", id, err)
	}
	st.gaps = true
	return &Watch{stream: st}, nil
}

// Info is what the agent said of the session.
func (w *Watch) Info() shell.SessionInfo { return w.stream.info }

// Next returns the next frame: output, a gap where the session was too quick
// for this side, or the exit, after which it returns io.EOF. The frame's data
// is valid until the next call. A connection that is lost is not made again:
// the errors are [ErrCut], [ErrSilent] and [ErrStream]. When ctx ends while
// Next waits, so does the watch.
func (w *Watch) Next(ctx context.Context) (shell.Frame, error) {
	if w.exited {
		return shell.Frame{}, io.EOF
	}
	defer context.AfterFunc(ctx, func() { w.stream.cancel(context.Cause(ctx)) })()
	f, err := w.stream.read()
	w.exited = err == nil && f.Type == shell.FrameExit
	return f, err
}

// Close ends the watching.
func (w *Watch) Close() { w.stream.close(ErrEnded) }
