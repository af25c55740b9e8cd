package shell

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// Control does what the client with the session key kid asks. The
// acknowledgement always counts; the rest only if Seq is above that of every
// request taken before, so that a repeated request is safe.
//
// A signal is sent once the input before it has been given to the program. It
// waits for that at most 10 seconds, and not at all for a program that does not
// read: when input that is there makes no progress for 250 ms, the signal
// overtakes it, whatever its name. A Ctrl-C or Ctrl-\ that is typed is a byte
// of input, which the terminal turns into a signal; it cannot overtake.
func (s *Session) Control(ctx context.Context, kid string, c ControlRequest) error {
	if err := c.Validate(); err != nil {
		return &Denied{Reason: ReasonBody, Err: err, Public: err.Error()}
	}
	s.mu.Lock()
	defer s.unlock()
	if err := s.hear(kid, c.Ack, time.Now()); err != nil {
		return err
	}
	if c.Seq <= s.seq {
		return nil
	}
	s.seq = c.Seq
	if c.Resize != nil && !s.ended {
		if err := s.resize(*c.Resize); err != nil {
			return Deny(ReasonInternal, fmt.Errorf("resize: %w", err))
		}
	}
	if c.Signal != nil {
		if err := s.signal(ctx, kid, *c.Signal); err != nil {
			return err
		}
	}
	if c.Close {
		s.hangUp("closed by its client")
	}
	if c.Detach && s.stream != nil && s.owns(kid) == nil {
		now := time.Now()
		s.part(nil, now)
		s.pass(now)
	}
	return nil
}

// resize sets the terminal's size without the session's lock; of several at
// once the last taken wins.
func (s *Session) resize(size Winsize) error {
	s.size = size
	s.unlock()
	defer s.mu.Lock()
	s.sizing.Lock()
	defer s.sizing.Unlock()
	s.mu.Lock()
	size = s.size
	s.mu.Unlock()
	err := s.program.Resize(size)
	if err == nil {
		s.tap.resized(size, s.hung)
	}
	return err
}

// signal sends a signal when it is its turn.
func (s *Session) signal(ctx context.Context, kid string, sig SignalRequest) error {
	s.awaitGiven(ctx, sig.After)
	if err := s.owns(kid); err != nil {
		return err
	}
	if s.ended {
		return Deny(ReasonSessionEnded, nil)
	}
	s.lastInput = time.Now()
	s.unlock()
	err := s.program.Signal(sig.Name)
	s.mu.Lock()
	if err != nil && !errors.Is(err, os.ErrProcessDone) && !s.ended {
		return Deny(ReasonInternal, fmt.Errorf("signal %s: %w", sig.Name, err))
	}
	return nil
}
