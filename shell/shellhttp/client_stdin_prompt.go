package shellhttp

import (
	"context"
	"sync/atomic"

	"shellagent/jwtauth"
	"shellagent/shell"
)

// maxPromptInput is the most that [Session.WritePrompt] takes, in bytes: what is
// typed is less.
const maxPromptInput = 256

// WritePrompt sends input from the goroutine that has it, if it is a terminal's,
// is small, and nothing is on its way: a key is then handed to nobody before it
// leaves. Otherwise it returns false, and [Session.Write] is to be used. It does
// not wait for the agent.
func (s *Session) WritePrompt(p []byte) bool { return s.stdin.writePrompt(p) }

// begunPost is a request that was written and whose answer is not read.
type begunPost struct {
	ctx     context.Context
	conn    *postConn
	token   string
	written error
	ack     uint64

	signed, concluded atomic.Bool
}

// quiet says that input could be on its way at once, and overtake nothing; q.mu is
// held.
func (q *stdinSender) quiet() bool {
	return q.cover == nil && q.workers == 1 && q.started == 1 && q.idle == 1 && q.err == nil && !q.eof &&
		!q.sending && !q.claimed && q.begun == nil && q.waiting() == 0 && len(q.posts) == 0
}

func (q *stdinSender) writePrompt(p []byte) bool {
	s := q.s
	if len(p) == 0 || len(p) > maxPromptInput || s.control.sizing() {
		return false
	}
	conn := s.client.posts.takeIdle()
	if conn == nil {
		return false
	}
	q.mu.Lock()
	if !q.quiet() {
		q.mu.Unlock()
		s.client.posts.untake(conn)
		return false
	}
	post := &q.prompt
	post.body = append(append(post.body[:0], stdinHeader[:]...), p...)
	post.data, post.offset, post.eof = post.body[len(stdinHeader):], q.next, false
	q.next += uint64(len(p))
	q.posts = append(q.posts, post)
	q.sending = true
	q.mu.Unlock()

	b := &begunPost{ctx: s.posts.current(), conn: conn, ack: s.control.current()}
	shell.AppendStdinHeader(post.body[:0], shell.Stdin{Offset: post.offset, Ack: b.ack, Data: post.data})
	x := s.exchange("stdin", post.body, typeStdin)
	if b.token, b.written = s.key.sign(b.ctx, jwtauth.Request{Method: x.method, Target: x.target, Body: x.body}, ""); b.written == nil {
		pool := s.client.posts
		conn.begin(x.timeout)
		b.written = conn.send(pool.host, pool.base+x.target, b.token, x)
	}
	post.begun = b

	q.mu.Lock()
	q.sending = false
	if q.err == nil {
		q.begun = post
		q.changed.Broadcast()
		q.mu.Unlock()
		return true
	}
	q.mu.Unlock()
	q.remove(post)
	conn.close()
	return true // and lost with the session, as all that is written to it
}

// conclude is [Session.post] for a request that was begun.
func (s *Session) conclude(b *begunPost, body []byte) ([]byte, error) {
	x, pool := s.exchange("stdin", body, typeStdin), s.client.posts
	x.sign = func(ctx context.Context, r jwtauth.Request, nonce string) (string, error) {
		if !b.signed.Swap(true) {
			return b.token, nil
		}
		return s.key.sign(ctx, r, nonce)
	}
	try := func(ctx context.Context, x exchange, token string) (*answered, error) {
		if !b.concluded.Swap(true) {
			return pool.finish(ctx, b.conn, b.written, b.token)
		}
		return pool.attempt(ctx, x, token)
	}
	return hedged(b.ctx, func(ctx context.Context) ([]byte, error) { return s.client.ask(ctx, try, x) })
}
