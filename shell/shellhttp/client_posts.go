package shellhttp

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"
)

// errRenewed says that a request may wait on a dead connection: it is sent
// again on another, which is safe.
var errRenewed = errors.New("the session has a new connection")

// posts is what a session's input and control requests in flight depend on. It
// is replaced when the stream was: those in flight are sent again, at once.
type posts struct {
	mu     sync.Mutex
	ctx    context.Context
	cancel context.CancelCauseFunc
}

func (p *posts) renew(parent context.Context) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cancel != nil {
		p.cancel(errRenewed)
	}
	p.ctx, p.cancel = context.WithCancelCause(parent)
}

func (p *posts) current() context.Context {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ctx
}

// post sends one input or control request; a small one perhaps twice, if that is
// safe while the first may still be waiting at the agent.
func (s *Session) post(verb string, body []byte, mediaType string, twice bool) ([]byte, error) {
	try := s.client.posts.attempt
	if s.hasExited() && s.freeStream() {
		try = s.client.overStreams
	}
	x := s.exchange(verb, body, mediaType)
	ask := func(ctx context.Context) ([]byte, error) { return s.client.ask(ctx, try, x) }
	if twice && len(body) <= maxHedged {
		return hedged(s.posts.current(), ask)
	}
	return ask(s.posts.current())
}

// exchange is an input or control request.
func (s *Session) exchange(verb string, body []byte, mediaType string) exchange {
	return sessionPost(s.key, verb, body, mediaType, s.client.times.post)
}

func sessionPost(key *sessionKey, verb string, body []byte, mediaType string, timeout time.Duration) exchange {
	return exchange{
		method: http.MethodPost, target: "/v1/sessions/" + key.session + "/" + verb,
		body: body, mediaType: mediaType, sign: key.sign, retract: key.retract, timeout: timeout,
	}
}

// freeStream says that the connection of a stream that has ended is free for the
// last request, and worth it: there is no other, and a program that ran on no input
// is not worth another handshake; or the next session is to find it free.
func (s *Session) freeStream() bool {
	c := s.client
	other := c.posts.hasIdle() || c.postDialer.primed()
	return (!other || c.keeps.Load()) && s.current().finish()
}

// rest waits before a request is sent again: for d, or until there is a new
// connection. False means that the session sends nothing more.
func (s *Session) rest(d time.Duration) bool {
	pause(s.posts.current(), d)
	return s.ctx.Err() == nil
}

// patient says whether input that cannot be delivered is still tried: as long
// as the agent may hold the session.
func (s *Session) patient() bool {
	return s.lasting.Load() && time.Since(s.control.lastHeard()) < s.kept()
}

// kept is how long after the last contact the session can surely be gone.
func (s *Session) kept() time.Duration {
	return time.Duration(s.Info().Linger)*time.Millisecond + s.client.times.margin
}
