package shellhttp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"shellagent/jwtauth"
)

// Bounds of answers, in bytes.
const (
	maxAnswer  = 1 << 20
	maxProblem = 64 << 10
)

// busyTries spread over more than the five seconds that a token lives.
const busyTries = 7

var errNoAnswer = errors.New("the agent did not answer in time")

// exchange is one request with what may be asked of it.
type exchange struct {
	method, target string
	body           []byte // nil for none; not touched after ask or send returned
	mediaType      string
	accept         string
	compressed     bool     // the answer may be, with zstd
	sign           signFunc // nil sends no token
	// retract, when not nil, says that sign makes tokens of another kind now that
	// the agent did not believe this one.
	retract func(token string) bool
	timeout time.Duration
	// reached, when not nil, is set once there is a connection: from then on
	// an error does not tell whether the agent has the request.
	reached *atomic.Bool
	// over, when not nil, is set to what is known of the connection.
	over *atomic.Pointer[connection]
}

// connection is what an exchange knows of the one that it goes over.
type connection struct {
	local *net.TCPAddr  // this side's address, nil when not known
	trip  time.Duration // a round trip when it was taken, 0 when not known
	bulk  *bulkConn     // what carries TLS, nil when it is something else
}

// answered is the start of an answer. Its body must be closed; then stop.
type answered struct {
	*http.Response
	token string // that the request was sent with
	timer *time.Timer
	stop  context.CancelCauseFunc
	text  []byte // all of the body, when it was read already; then the rest is not there
}

// send signs and sends x and waits for a good answer's start. A refusal is a
// *Problem, except that x is signed again once with the nonce of a refusal, once
// when its token was taken already (transports send a GET twice when a kept
// connection breaks, and every request of this protocol may be repeated), and
// for some seconds while the agent holds too many tokens of the same key.
// The exchange's time goes on until the answer's timer is stopped.
func (c *Client) send(ctx context.Context, try attempt, x exchange) (*answered, error) {
	nonce, replayed := "", false
	for busy := 1; ; {
		var token string
		if x.sign != nil {
			var err error
			token, err = x.sign(ctx, jwtauth.Request{Method: x.method, Target: x.target, Body: x.body}, nonce)
			if err != nil {
				return nil, err
			}
		}
		a, err := try(ctx, x, token)
		if errors.Is(err, errKept) {
			continue // the next has a connection of its own
		}
		if err != nil {
			return nil, err
		}
		if a.StatusCode/100 == 2 {
			return a, nil
		}
		text, err := a.read(maxProblem)
		if err != nil {
			return nil, err
		}
		p := parseProblem(a.StatusCode, a.Header, text)
		switch unauthorized := p.Status == http.StatusUnauthorized && x.sign != nil; {
		case p.Code == "busy" && busy < busyTries:
			if busy++; !pause(ctx, backoff(busy+1)) {
				return nil, context.Cause(ctx)
			}
		case unauthorized && p.Code == "replayed" && !replayed:
			replayed = true
		case unauthorized && p.nonce != "" && nonce == "":
			nonce = p.nonce
		case p.disbelieved() && x.retract != nil && x.retract(token):
		default:
			return nil, p
		}
	}
}

// ask is send for an answer that is read whole.
func (c *Client) ask(ctx context.Context, try attempt, x exchange) ([]byte, error) {
	a, err := c.send(ctx, try, x)
	if err != nil {
		return nil, err
	}
	return a.read(maxAnswer)
}

// attempt is one round trip of an exchange with a token.
type attempt func(ctx context.Context, x exchange, token string) (*answered, error)

// overStreams is an attempt whose answer may be a stream.
func (c *Client) overStreams(ctx context.Context, x exchange, token string) (*answered, error) {
	ctx, stop := context.WithCancelCause(ctx)
	timer := time.AfterFunc(x.timeout, func() { stop(errNoAnswer) })
	if x.reached != nil || x.over != nil {
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: x.gotConn})
	}
	resp, err := c.streams.RoundTrip(c.request(ctx, x, token))
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		timer.Stop()
		stop(nil)
		return nil, fmt.Errorf("%s: %w", c.addr, err)
	}
	return &answered{Response: resp, token: token, timer: timer, stop: stop}, nil
}

func (x *exchange) gotConn(info httptrace.GotConnInfo) {
	if x.reached != nil {
		x.reached.Store(true)
	}
	if x.over == nil {
		return
	}
	c := new(connection)
	if t, ok := tcpOf(info.Conn); ok {
		c.trip = roundTripOf(t)
	}
	c.local, _ = info.Conn.LocalAddr().(*net.TCPAddr)
	c.bulk, _ = below(info.Conn).(*bulkConn)
	x.over.Store(c)
}

func (c *Client) request(ctx context.Context, x exchange, token string) *http.Request {
	path, query, _ := strings.Cut(x.target, "?")
	r := &http.Request{
		Method: x.method,
		URL:    &url.URL{Scheme: "https", Host: c.addr, Path: c.base + path, RawQuery: query},
		Host:   c.cfg.BaseURL.Host,
		Header: http.Header{"User-Agent": {"shellagent"}},
	}
	if token != "" {
		r.Header["Authorization"] = []string{"Bearer " + token}
	}
	if x.accept != "" {
		r.Header["Accept"] = []string{x.accept}
	}
	if x.compressed {
		r.Header["Accept-Encoding"] = []string{codingZstd}
	}
	if x.mediaType != "" {
		r.Header["Content-Type"] = []string{x.mediaType}
	}
	if x.body != nil {
		// The transport may read it after it returned. What it knows to be in
		// memory it sends in one piece with the head.
		body := bytes.Clone(x.body)
		r.ContentLength = int64(len(body))
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		r.Body, _ = r.GetBody()
	}
	return r.WithContext(ctx)
}

// read reads the rest of an answer and lets go of it.
func (a *answered) read(limit int64) ([]byte, error) {
	if a.text != nil {
		return a.text, nil
	}
	text, err := io.ReadAll(io.LimitReader(a.Body, limit+1))
	if cause := context.Cause(a.Request.Context()); err != nil && cause != nil {
		err = cause
	} else if err == nil && int64(len(text)) > limit {
		err = fmt.Errorf("the answer is larger than %d bytes", limit)
	}
	a.Body.Close()
	a.timer.Stop()
	a.stop(nil)
	return text, err
}
