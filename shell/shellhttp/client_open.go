package shellhttp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"shellagent/shell"
)

const (
	// openTries bounds how often a lost open is asked after.
	openTries = 7
	// abandonTries bounds how often one that is not wanted any more is hung up.
	abandonTries = 3
)

// Open starts a session and returns once the agent has proved who it is and
// told what it started. ctx bounds the opening only.
//
// An open whose answer is lost never runs twice: the session is asked for by
// its id, and opened again only when there is none. When ctx ends first, what the
// agent may have started is hung up, which takes another second at most.
func (c *Client) Open(ctx context.Context, source string, req shell.OpenRequest) (*Session, error) {
	if err := c.known(); err != nil {
		return nil, err
	}
	if !unreserved(source) || source == "" || source == "." || source == ".." {
		return nil, fmt.Errorf("%.70q is not the name of a source", source)
	}
	body, err := json.Marshal(req)
	if err != nil {
		return nil, fmt.Errorf("open request: %w", err)
	}
	if len(body) > shell.MaxOpenBody {
		return nil, fmt.Errorf("the command and its environment take %d bytes, at most %d are possible", len(body), shell.MaxOpenBody)
	}
	key, err := newSessionKey()
	if err != nil {
		return nil, err
	}
	st, err := c.openOnce(ctx, key, source, body)
	if err != nil {
		return nil, err
	}
	c.wantReady(readySoon) // the connection is taken
	return newSession(c, key, st), nil
}

// PrepareInput begins the connection for input and control requests, which the
// first of them would have to wait for. Call it before [Client.Open] when there
// is input already; a session that has none to the end needs no such connection.
func (c *Client) PrepareInput() {
	if !c.posts.hasIdle() {
		c.postDialer.prime(c.addr, c.cfg.Timeout)
	}
}

// openOnce opens, and asks after an open whose answer was lost.
func (c *Client) openOnce(ctx context.Context, key *sessionKey, source string, body []byte) (st *stream, err error) {
	var reached atomic.Bool
	open := exchange{
		method: http.MethodPost, target: "/v1/shell/" + source, body: body, mediaType: typeJSON,
		sign: c.opening(key), reached: &reached,
	}
	st, err = c.openStream(ctx, key, open)
	defer func() {
		var refused *Problem
		if ctx.Err() != nil && reached.Load() && err != nil && (lost(err) || !errors.As(err, &refused)) {
			c.abandon(key)
		}
	}()
	for try := 1; lost(err) && (reached.Load() || brokeOff(err)) && try < openTries; try++ {
		if !pause(ctx, backoff(try)) {
			return nil, context.Cause(ctx)
		}
		ask := reached.Load()
		if ask {
			st, err = c.openStream(ctx, key, streamExchange(key, 0))
		}
		var p *Problem
		if !ask || errors.As(err, &p) && p.Code == "session_not_found" {
			st, err = c.openStream(ctx, key, open)
		}
	}
	if err == nil && st.info.From != 0 {
		st.close(nil)
		return nil, fmt.Errorf("%w: a new session starts at offset %d", ErrStream, st.info.From)
	}
	return st, err
}

// abandon hangs up a session that nobody waits for any more, if there is one: the
// agent would keep it for its linger. It may start only now.
func (c *Client) abandon(key *sessionKey) {
	ctx, cancel := context.WithTimeout(context.Background(), c.times.abandon)
	defer cancel()
	body, err := json.Marshal(shell.ControlRequest{Seq: 1, Close: true})
	if err != nil {
		return
	}
	// An agent minds who asks for what is not there.
	for try := 1; ; try++ {
		_, err := c.ask(ctx, c.overStreams, sessionPost(key, "control", body, typeJSON, c.cfg.Timeout))
		var p *Problem
		if !errors.As(err, &p) || p.Code != "session_not_found" || try == abandonTries || !pause(ctx, backoff(try+1)) {
			return
		}
	}
}

func streamExchange(key *sessionKey, from uint64) exchange {
	return exchange{
		method: http.MethodGet, sign: key.sign, retract: key.retract,
		target: "/v1/sessions/" + key.session + "/stream?from=" + strconv.FormatUint(from, 10),
	}
}

// lost says whether an error leaves open what the agent did: the connection
// broke or stayed silent. A refusal, or a wrong host, is an answer.
func lost(err error) bool {
	var p *Problem
	switch {
	case err == nil, errors.Is(err, ErrHost), errors.Is(err, ErrStream),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, errSign):
		return false
	case errors.As(err, &p):
		// What a front says that lost its broker, and a proxy that lost the agent.
		return p.Status == http.StatusBadGateway || p.Status == http.StatusServiceUnavailable || p.Status == http.StatusGatewayTimeout
	default:
		return true
	}
}

// brokeOff says that a connection broke while it was being made: somebody
// listens, and may do better in a moment.
func brokeOff(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// backoff doubles from 50 ms to 5 s, give or take a quarter: who was refused
// together shall not come back together.
func backoff(try int) time.Duration {
	d := min(50*time.Millisecond<<min(try-1, 10), 5*time.Second)
	return d*3/4 + rand.N(d/2)
}

// pause waits; false means that ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// openStream sends a request that is answered with a stream, and checks the
// stream's first frame.
func (c *Client) openStream(ctx context.Context, key *sessionKey, x exchange) (*stream, error) {
	x.accept, x.timeout = c.cfg.Encoding.mediaType(), c.cfg.Timeout
	x.compressed = c.compress.Load()
	x.over = new(atomic.Pointer[connection])
	x.over.Store(new(connection))
	// The stream outlives ctx, which bounds its opening.
	life, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer context.AfterFunc(ctx, func() { end(context.Cause(ctx)) })()
	a, err := c.send(life, c.overStreams, x)
	if err != nil {
		end(nil)
		return nil, err
	}
	st := newStream(a, c.times, end)
	st.over = x.over.Load()
	if st.body, err = plainBody(a.Header, a.Body, x.compressed); err != nil {
		st.body, err = a.Body, fmt.Errorf("%w: %w", ErrStream, err)
		st.close(nil)
		return nil, err
	}
	f, err := st.next()
	if err == nil {
		st.info, err = key.checkSession(c.hostKeys(), a.token, f)
	}
	if err == nil {
		c.learn(st.info)
	}
	if err == nil && st.info.ID != key.session {
		err = fmt.Errorf("%w: the session is %s, asked was for %s", ErrStream, printable(st.info.ID), key.session)
	}
	if !a.timer.Stop() && err == nil {
		err = errNoAnswer
	}
	if err != nil {
		st.close(nil)
		return nil, err
	}
	if st.over.bulk != nil {
		st.over.bulk.in.Shared = st.info.Terminal // with keys, and the clock of their cover
	}
	st.begin(f.End)
	return st, nil
}
