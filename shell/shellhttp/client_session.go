package shellhttp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"shellagent/shell"
)

// ErrEnded says that the session is over and takes nothing more.
var ErrEnded = errors.New("the session has ended")

// Session is one program on the agent's host. Next and Resume are for one
// goroutine, everything else is safe for concurrent use. Close it in any case.
// [Session.Lasting] resumes by itself.
type Session struct {
	client *Client
	key    *sessionKey

	mu      sync.Mutex
	stream  *stream // replaced by Resume alone
	exited  bool    // the exit frame was returned
	failed  error   // why the session cannot go on
	closed  bool
	waiting bool            // Next runs
	quiet   *time.Timer     // a terminal's on which nothing was seen yet, else nil
	watched context.Context // whose end cuts the stream meanwhile
	unwatch func() bool
	stopped chan struct{} // between Suspend and Continue

	// ctx is the life of the senders; posts is that of their requests in flight.
	ctx     context.Context
	cancel  context.CancelFunc
	posts   posts
	lasting atomic.Bool // somebody sees to it that there is a stream
	stdin   *stdinSender
	control *controlSender
}

func newSession(c *Client, key *sessionKey, st *stream) *Session {
	s := &Session{client: c, key: key, stream: st}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.posts.renew(s.ctx)
	s.control = newControlSender(s, st.info.Terminal)
	s.stdin = newStdinSender(s, st.info.Stdin, st.info.Terminal, st.over.trip)
	if st.info.Terminal {
		s.quiet = time.AfterFunc(quietTime, s.prepareInput)
	}
	return s
}

// quietTime is after how long somebody may type at a program that says nothing.
const quietTime = 100 * time.Millisecond

// prepareInput does so as long as there may be some.
func (s *Session) prepareInput() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed && !s.exited {
		s.client.PrepareInput()
	}
}

// Info is what the agent said when the current stream began.
func (s *Session) Info() shell.SessionInfo { return s.current().info }

func (s *Session) current() *stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stream
}

// Next returns the next frame: output, a notice, or the exit, after which it
// returns io.EOF. The frame's data is valid until the next call. Keepalives are
// swallowed. It fails with ErrCut, ErrSilent, ErrStream, or with what ended
// the session for this client, such as a *Problem with the code taken_over.
// When ctx ends while Next waits, the stream is cut; [Session.Resume] goes on.
func (s *Session) Next(ctx context.Context) (shell.Frame, error) {
	if err := s.beginNext(ctx); err != nil {
		return shell.Frame{}, err
	}
	f, err := s.stream.read()
	if err = s.endNext(f, err); err != nil {
		return shell.Frame{}, err
	}
	return f, nil
}

// beginNext lets ctx cut the stream. A caller's context is usually the same in
// every call, so that it is watched once for all of them.
func (s *Session) beginNext(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.exited {
		return io.EOF
	}
	s.waiting = true
	if ctx != s.watched {
		if s.unwatch != nil {
			s.unwatch()
		}
		st := s.stream
		s.watched = ctx
		s.unwatch = context.AfterFunc(ctx, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.waiting && s.watched == ctx {
				st.cancel(context.Cause(ctx))
			}
		})
	}
	if ctx.Err() != nil {
		s.waiting = false
		return context.Cause(ctx)
	}
	return nil
}

func (s *Session) endNext(f shell.Frame, err error) error {
	s.mu.Lock()
	s.waiting = false
	s.exited = err == nil && f.Type == shell.FrameExit
	exited := s.exited
	var quiet *time.Timer
	if err == nil && isOutput(f.Type) {
		quiet, s.quiet = s.quiet, nil
	}
	if err != nil && s.failed != nil {
		err = s.failed // why, rather than how the stream noticed
	}
	s.mu.Unlock()
	if quiet != nil && quiet.Stop() {
		// Now that there is something to answer to, somebody may type.
		s.prepareInput()
	}
	if exited {
		s.stream.stop()
		s.control.exitAt(f.End)
		s.stdin.fail(ErrEnded)
	}
	return err
}

// Resume opens the stream again where Next left off, after ErrCut or ErrSilent.
// It tries once; when it fails it may be called again.
func (s *Session) Resume(ctx context.Context) error {
	s.mu.Lock()
	from, failed, closed := s.stream.end, s.failed, s.closed
	s.mu.Unlock()
	if failed != nil {
		return failed
	}
	if closed || s.hasExited() {
		return ErrEnded
	}
	s.stream.close(ErrCut)
	st, err := s.client.openStream(ctx, s.key, streamExchange(s.key, from))
	if err != nil {
		return fmt.Errorf("resume the session: %w", err)
	}
	if st.info.From != from {
		st.close(nil)
		return fmt.Errorf("resume the session: %w: it starts at offset %d instead of %d", ErrStream, st.info.From, from)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		st.close(nil)
		return ErrEnded
	}
	s.stream, s.watched = st, nil
	s.stdin.resumed(st.info.Stdin)
	// What is in flight may never be answered on the connections of before.
	s.client.posts.closeIdle()
	s.posts.renew(s.ctx)
	return nil
}

// Write queues input. It blocks while 512 KiB wait, and fails once input cannot
// be delivered or the session is over; what it took is sent in order, once.
func (s *Session) Write(p []byte) (int, error) { return s.stdin.write(p) }

// CloseWrite ends input after what was written.
func (s *Session) CloseWrite() error { return s.stdin.closeWrite() }

// Resize tells the terminal's size. Only the latest is sent.
func (s *Session) Resize(w shell.Winsize) { s.control.resize(w) }

// Redraw makes a program that fills the terminal draw it anew, in size w.
func (s *Session) Redraw(w shell.Winsize) { s.control.redraw(w) }

// Signal asks for a signal ("INT"; see [shell.SignalRequest]) once the program
// was given what had been written before. It fails when 16 are waiting.
func (s *Session) Signal(name string) error {
	return s.control.signal(shell.SignalRequest{Name: name, After: s.stdin.written()})
}

// Ack says that output up to an offset has left this process, so that the
// agent may forget it. It is sent with input, each so many bytes, each few seconds,
// and at once for the exit.
func (s *Session) Ack(end uint64) { s.control.ack(end) }

// Close ends the session and returns once the agent knows, or after 2 s: it
// hangs up a program that runs, and delivers the acknowledgement of an exit.
// The error says what the agent may not know.
func (s *Session) Close() error {
	if s.hasExited() {
		return s.leave(s.control.exitAcked())
	}
	return s.leave(s.control.last(shell.ControlRequest{Close: true}))
}

// Detach leaves without ending the session, which the agent keeps for its
// linger. Input that was written is delivered first, if that takes at most 2 s.
func (s *Session) Detach() error {
	if s.hasExited() {
		return s.Close()
	}
	s.stdin.flush(s.client.times.leave)
	return s.leave(s.control.last(shell.ControlRequest{Detach: true}))
}

// leave waits for said and lets go of everything.
func (s *Session) leave(said <-chan struct{}) error {
	s.mu.Lock()
	again := s.closed
	s.closed = true
	if s.quiet != nil {
		s.quiet.Stop()
	}
	s.mu.Unlock()
	if again {
		return nil
	}
	var err error
	timer := time.NewTimer(s.client.times.leave)
	defer timer.Stop()
	select {
	case <-said:
	case <-timer.C:
		err = fmt.Errorf("say good-bye: %w", errNoAnswer)
	}
	s.stdin.fail(ErrEnded)
	s.cancel()
	s.mu.Lock()
	s.stream.close(ErrEnded)
	if !s.exited {
		s.client.wantReady(0) // the connection is gone
	}
	if s.unwatch != nil {
		s.unwatch()
	}
	s.mu.Unlock()
	s.stdin.wait()
	s.control.wait()
	return err
}

// fail ends the session for this client: a sender found that it cannot go on.
func (s *Session) fail(err error) {
	s.mu.Lock()
	if s.failed == nil && !s.exited {
		s.failed = err
	}
	st := s.stream
	s.mu.Unlock()
	s.stdin.fail(err)
	st.cancel(err)
}

func (s *Session) hasExited() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.exited
}
