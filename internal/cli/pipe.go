package cli

import (
	"context"
	"errors"
	"io"
	"time"

	"shellagent/internal/share"
	"shellagent/shell/shellhttp"
)

// inputSize is how much is read from standard input at once, in bytes, for a remote
// that does not read it itself.
const inputSize = 256 << 10

// runOnPipes is a program whose streams are this program's own, as ssh is in a
// pipeline. It returns as [surroundings.ended] does.
func (s *surroundings) runOnPipes(ctx context.Context, r remote, target string, input inputState) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if input != inputNone {
		// It may stay in a read that nothing can end; the program ends then.
		go s.sendInput(r, openInput(s.stdin))
	}
	out := &output{stdout: widened(s.stdout), stderr: s.stderr, notice: s.notice}
	exit, err := out.copy(ctx, r)
	ending := s.ended(ctx, r, target, exit, err)
	s.sayGoodbye(r, err)
	return ending
}

// sendInput copies input to its end. Input that cannot be read is not passed
// off as input that ended: the program is hung up.
func (s *surroundings) sendInput(r remote, in io.ReadCloser) {
	defer in.Close()
	from := &fallible{in: in}
	var err error
	if itself, ok := r.(io.ReaderFrom); ok {
		_, err = itself.ReadFrom(from)
	} else {
		_, err = io.CopyBuffer(r, from, make([]byte, inputSize))
	}
	switch {
	case from.err != nil:
		s.ui.warn("cannot read the input, the program is hung up: %v", from.err)
		_ = r.Close()
	case err == nil:
		_ = r.CloseWrite()
	default: // the session is over, which the output tells better
	}
}

// fallible keeps the error that in ended with.
type fallible struct {
	in  io.Reader
	err error
}

func (f *fallible) Read(p []byte) (int, error) {
	n, err := f.in.Read(p)
	if err != nil && err != io.EOF {
		f.err = err
	}
	return n, err
}

// shortGoodbye is how long the agent is waited for over a connection that is
// likely dead. A session whose agent hears nothing is hung up after its linger.
const shortGoodbye = 250 * time.Millisecond

// sayGoodbye closes the session, which hangs up a program that still runs. How
// it went so far says how long that may take.
func (s *surroundings) sayGoodbye(r remote, err error) {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		if err := r.Close(); err != nil {
			s.ui.debug("close the session: %v", err)
		}
	}()
	var limit <-chan time.Time
	var gone *shellhttp.LostError
	var elsewhere *share.Failure
	if errors.Is(err, errLeft) || errors.As(err, &gone) || errors.As(err, &elsewhere) && elsewhere.Lost {
		limit = time.After(shortGoodbye)
	}
	select {
	case <-closed:
	case <-limit:
	}
}

func (s *surroundings) notice(text string) { s.ui.note("%s", text) }
