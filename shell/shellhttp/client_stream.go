package shellhttp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
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

// stream is one connection's part of a session's output.
type stream struct {
	info shell.SessionInfo
	end  uint64 // offset after the last frame that was returned

	ctx    context.Context
	cancel context.CancelCauseFunc
	answer *answered
	frames frameReader
	watch  *time.Timer
	quiet  time.Duration
}

// newStream reads the frames of an answer in the encoding that it says.
func newStream(a *answered, quiet time.Duration, cancel context.CancelCauseFunc) *stream {
	s := &stream{ctx: a.Request.Context(), cancel: cancel, answer: a, quiet: quiet}
	s.watch = time.AfterFunc(s.quiet, func() { cancel(ErrSilent) })
	if mediaType, _, _ := strings.Cut(a.Header.Get("Content-Type"), ";"); mediaType == typeFrames {
		s.frames = newBinaryReader(s)
	} else {
		s.frames = newEventReader(s)
	}
	return s
}

// Read reads the answer's body and notes that the peer lives.
func (s *stream) Read(p []byte) (int, error) {
	n, err := s.answer.Body.Read(p)
	if n > 0 {
		s.watch.Reset(s.quiet)
	}
	return n, err
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

// close ends the connection; a reader of it gets cause.
func (s *stream) close(cause error) {
	s.watch.Stop()
	s.cancel(cause)
	s.answer.timer.Stop()
	s.answer.stop(nil)
	s.answer.Body.Close()
}
