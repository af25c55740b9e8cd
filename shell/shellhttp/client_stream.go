package shellhttp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"shellagent/shell"
)

// How a stream fails. A session may go on after the first two: see
// [Session.Resume].
var (
	// ErrCut says that the connection ended before the session did.
	ErrCut = errors.New("the connection to the agent was cut")
	// ErrSilent says that nothing was heard for 25 s, though the agent sends
	// something at least every 10.
	ErrSilent = errors.New("nothing was heard from the agent for 25 s")
	// ErrStream says that what arrived is not a faithful stream: bytes are
	// missing, doubled or malformed. It is never right to go on.
	ErrStream = errors.New("the agent's stream is broken")
)

// stream is one connection's part of a session's output. read is for one
// goroutine, close for any.
type stream struct {
	info  shell.SessionInfo
	end   uint64 // offset after the last frame that was read
	gaps  bool   // output may be skipped: a watcher's
	over  *connection
	times clientTimes

	ctx    context.Context
	cancel context.CancelCauseFunc
	answer *answered
	body   io.Reader // the answer's, without its content coding
	frames frameReader
	heard  atomic.Int64 // when bytes last came, in nanoseconds since start
	start  time.Time

	mu      sync.Mutex
	tick    *time.Timer
	reading bool          // a read waits for the agent
	left    time.Duration // since start, when the last read returned
	ahead   *readAhead    // reads in place of read, once its caller is slow
	closed  bool

	finishing sync.Once
	free      bool // the connection is, for another request
}

// newStream reads the frames of an answer in the encoding that it says.
func newStream(a *answered, times clientTimes, cancel context.CancelCauseFunc) *stream {
	s := &stream{ctx: a.Request.Context(), cancel: cancel, answer: a, body: a.Body, times: times, start: time.Now(), reading: true}
	if mediaType, _, _ := strings.Cut(a.Header.Get("Content-Type"), ";"); mediaType == typeFrames {
		s.frames = newBinaryReader(s)
	} else {
		s.frames = newEventReader(s)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tick = time.AfterFunc(times.patience, s.look)
	return s
}

// Read reads the answer's body and notes that the peer lives.
func (s *stream) Read(p []byte) (int, error) {
	n, err := s.body.Read(p)
	if n > 0 {
		s.heard.Store(int64(time.Since(s.start)))
	}
	return n, err
}

// lastHeard is when bytes last came.
func (s *stream) lastHeard() time.Time { return s.start.Add(time.Duration(s.heard.Load())) }

// look is called every few seconds. It cuts a stream whose peer is silent, and
// reads ahead for a caller that is not reading: who reads nothing is cut by
// the agent, but a pager may stand still for hours.
func (s *stream) look() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	now := time.Since(s.start)
	next := s.times.patience
	switch silent := now - time.Duration(s.heard.Load()); {
	case s.ahead == nil && !s.reading:
		if now-s.left >= next {
			s.heard.Store(int64(now))
			s.ahead = newReadAhead()
			go s.ahead.run(s)
		}
	case silent >= s.times.silence:
		s.cancel(ErrSilent)
		return
	default:
		next = min(next, s.times.silence-silent)
	}
	s.tick.Reset(next)
}

// begin says that the first frame is what it should be, and at which offset the
// next one follows. Nothing is read ahead before.
func (s *stream) begin(end uint64) {
	s.end = end
	s.rest()
}

// rest notes that nobody reads now.
func (s *stream) rest() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reading, s.left = false, time.Since(s.start)
}

// read returns the next frame that is not a keepalive, after holding it and
// all before it against the offset rule.
func (s *stream) read() (shell.Frame, error) {
	s.mu.Lock()
	ahead := s.ahead
	s.reading = ahead == nil
	s.mu.Unlock()
	if ahead != nil {
		return ahead.pop()
	}
	defer s.rest()
	return s.faithful()
}

func (s *stream) faithful() (shell.Frame, error) {
	for {
		f, err := s.next()
		if err == nil {
			err = s.check(f)
		}
		if err != nil {
			return shell.Frame{}, err
		}
		if f.Type != shell.FrameKeepalive {
			return f, nil
		}
	}
}

// next returns the next frame, unchecked.
func (s *stream) next() (shell.Frame, error) {
	f, err := s.frames.next()
	if err == nil {
		return f, nil
	}
	var format *formatError
	switch cause := context.Cause(s.ctx); {
	case cause != nil:
		return f, cause
	case errors.As(err, &format):
		return f, fmt.Errorf("%w after offset %d: %w", ErrStream, s.end, err)
	case err == io.EOF:
		return f, ErrCut
	default:
		return f, fmt.Errorf("%w: %w", ErrCut, err)
	}
}

// check holds a frame against the offset rule and moves on.
func (s *stream) check(f shell.Frame) error {
	want := s.end + f.Type.Width(len(f.Data))
	switch {
	case f.Type == shell.FrameSession:
		return fmt.Errorf("%w: a second session event at offset %d", ErrStream, f.End)
	case f.Type == shell.FrameGap && s.gaps && f.End > s.end:
	case f.Type == shell.FrameGap:
		return fmt.Errorf("%w: output up to offset %d was skipped", ErrStream, f.End)
	case f.End < want:
		return fmt.Errorf("%w: %s ends at offset %d instead of %d: something came twice or was cut short", ErrStream, f.Type, f.End, want)
	case f.End > want:
		return fmt.Errorf("%w: %s ends at offset %d instead of %d: %d bytes are missing", ErrStream, f.Type, f.End, want, f.End-want)
	}
	s.end = f.End
	return nil
}

// stop ends the watch: nothing is expected any more.
func (s *stream) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.tick.Stop()
}

// endTime is how long the answer's end may stay out after the exit.
const endTime = 250 * time.Millisecond

// finish reads to the answer's end, which follows the exit: then its connection
// is free for another request. Several goroutines may call it, also again.
func (s *stream) finish() bool {
	s.mu.Lock()
	ahead := s.ahead
	s.mu.Unlock()
	if ahead != nil {
		return false
	}
	s.finishing.Do(func() {
		timer := time.AfterFunc(endTime, func() { s.cancel(ErrCut) })
		defer timer.Stop()
		var more [1]byte
		n, err := s.body.Read(more[:])
		s.free = n == 0 && err == io.EOF
	})
	return s.free
}

// close ends the connection; a reader of it gets cause. It returns when nobody
// reads ahead any more.
func (s *stream) close(cause error) {
	s.stop()
	s.cancel(cause)
	s.answer.timer.Stop()
	s.answer.stop(nil)
	s.answer.Body.Close()
	if s.ahead != nil { // not set any more after stop
		s.ahead.close()
	}
}
