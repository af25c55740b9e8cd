package shellhttp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"shellagent/shell"
)

// watchKept is how long at least a session is looked for that was watched: its
// client may have it all the while.
const watchKept = 10 * time.Minute

// Watch is a look at somebody's session. It reconnects by itself, like a
// [Lasting] session. Next is for one goroutine. Close it in any case.
type Watch struct {
	comeback
	client *Client
	id     string
	cancel context.CancelFunc
	exited bool

	mu     sync.Mutex
	stream *stream
	closed bool
}

// Watch looks on at a session of the signer's key, whose client is told. It
// begins with up to 256 KiB of output that was shown before. ctx bounds the
// opening only. tell is as for [Session.Lasting].
func (c *Client) Watch(ctx context.Context, id string, tell func(Outage)) (*Watch, error) {
	if err := c.known(); err != nil {
		return nil, err
	}
	if !unreserved(id) || id == "" {
		return nil, fmt.Errorf("%.60q is not a session id", id)
	}
	life, cancel := context.WithCancel(context.Background())
	w := &Watch{client: c, id: id, cancel: cancel, comeback: newComeback(&c.times, life.Done(), tell)}
	var err error
	for try := 1; ; try++ {
		w.stream, err = w.open(ctx, "")
		if !lost(err) || try >= openTries || !pause(ctx, backoff(try)) {
			break
		}
	}
	if err != nil {
		cancel()
		return nil, fmt.Errorf("watch the session %s: %w", id, err)
	}
	go watchAddresses(life, func() { w.readdressed(w.current()) })
	return w, nil
}

// open asks for a stream with a session key that is used for nothing else.
func (w *Watch) open(ctx context.Context, query string) (*stream, error) {
	key, err := newSessionKey()
	if err != nil {
		return nil, err
	}
	key.session = w.id
	st, err := w.client.openStream(ctx, key, exchange{
		method: http.MethodPost, target: "/v1/sessions/" + w.id + "/watch" + query,
		sign: w.client.identity(key.key.PublicKey()),
	})
	if err == nil {
		st.gaps = true
	}
	return st, err
}

// Resume looks on again from where the stream ended. What was freed since comes
// as a gap.
func (w *Watch) Resume(ctx context.Context) error {
	before := w.current()
	before.close(ErrCut)
	st, err := w.open(ctx, "?from="+strconv.FormatUint(before.end, 10))
	if err != nil {
		return fmt.Errorf("watch the session %s again: %w", w.id, err)
	}
	if st.info.From != before.end {
		st.close(nil)
		return fmt.Errorf("watch the session %s again: %w: it starts at offset %d instead of %d", w.id, ErrStream, st.info.From, before.end)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		st.close(nil)
		return ErrEnded
	}
	w.stream = st
	return nil
}

// resumable takes an agent that has too many watchers for one that has not
// noticed yet that this one was lost.
func (w *Watch) resumable(err error) outcome {
	var p *Problem
	if errors.As(err, &p) && p.Code == "too_many_sessions" {
		return again
	}
	return resumeVerdict(err)
}

func (w *Watch) lastContact() time.Time { return w.current().lastHeard() }

func (w *Watch) kept() time.Duration {
	return max(time.Duration(w.Info().Linger)*time.Millisecond, watchKept) + w.times.margin
}

func (w *Watch) current() *stream {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stream
}

// Info is what the agent said of the session when the current stream began.
func (w *Watch) Info() shell.SessionInfo { return w.current().info }

// Next returns the next frame: output, a gap where the session was too quick
// for this side, or the exit, after which it returns io.EOF. The frame's data
// is valid until the next call. It fails with a *LostError when no other
// connection could be had. When ctx ends while Next waits, so does the watch.
func (w *Watch) Next(ctx context.Context) (shell.Frame, error) {
	for !w.exited {
		st := w.current()
		stop := context.AfterFunc(ctx, func() { st.cancel(context.Cause(ctx)) })
		f, err := st.read()
		stop()
		if !wasLost(err) || ctx.Err() != nil {
			w.exited = err == nil && f.Type == shell.FrameExit
			return f, err
		}
		if err := w.reconnect(ctx, w, err); err != nil {
			return shell.Frame{}, err
		}
	}
	return shell.Frame{}, io.EOF
}

// Close ends the watching.
func (w *Watch) Close() {
	w.cancel()
	w.mu.Lock()
	w.closed = true
	st := w.stream
	w.mu.Unlock()
	st.close(ErrEnded)
}
