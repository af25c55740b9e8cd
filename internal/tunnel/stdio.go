package tunnel

import (
	"context"
	"errors"
	"io"

	"shellagent/internal/forward"
	"shellagent/internal/sshargs"
)

// OpenError says that a connection did not come to be.
type OpenError struct{ Err error }

func (e *OpenError) Error() string { return e.Err.Error() }
func (e *OpenError) Unwrap() error { return e.Err }

// Stdio makes two streams of this program one connection: -W. Either direction may
// end before the other. It returns once both have, or the connection broke; then
// a read of in may still be waiting. One that could not be opened is an *[OpenError].
func (s *Set) Stdio(ctx context.Context, to sshargs.Endpoint, in io.Reader, out io.WriteCloser) error {
	c, err := s.begin("-W", "", to.String())
	if err != nil {
		return err
	}
	stream, err := s.link.Open(ctx, to)
	if err != nil {
		s.failed(c, err)
		return &OpenError{err}
	}
	defer s.end(c)
	s.cfg.Told(Event{Kind: Opened, Connection: *c})
	defer context.AfterFunc(ctx, func() { stream.Reset() })()
	sent := make(chan error, 1)
	go func() { sent <- send(stream, in) }()
	received := make(chan error, 1)
	go func() {
		_, err := io.CopyBuffer(struct{ io.Writer }{out}, struct{ io.Reader }{stream}, make([]byte, copySize))
		received <- errors.Join(err, out.Close())
	}()
	for range 2 {
		select {
		case err = <-sent:
		case err = <-received:
		}
		if err != nil {
			stream.Reset()
			break
		}
	}
	_ = stream.Close()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return s.link.told(err)
}

// copySize is how much is carried at once, in bytes.
const copySize = 64 << 10

func send(stream *forward.Stream, in io.Reader) error {
	if _, err := io.CopyBuffer(struct{ io.Writer }{stream}, struct{ io.Reader }{in}, make([]byte, copySize)); err != nil {
		return err
	}
	return stream.CloseWrite()
}
