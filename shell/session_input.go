package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"shellagent/internal/failpoint"
)

const (
	// stdinPatience is how long a stdin request waits for room: its sender is
	// answered within this time whatever the program does.
	stdinPatience = 10 * time.Second
	// signalPatience is how long a signal waits for the input before it.
	signalPatience = 10 * time.Second
	// gapPatience is how long input waits for what comes before it.
	gapPatience = time.Second
	// stuckInput is how long a write may make no progress before a signal
	// overtakes it: a program that does not read can still be interrupted.
	stuckInput = 250 * time.Millisecond
)

// OffsetError says from where input must be sent. It is wrapped in a [Denied]
// with [ReasonOffset].
type OffsetError struct {
	// Next is the offset of the first byte that is missing.
	Next uint64
}

func (e *OffsetError) Error() string {
	return fmt.Sprintf("input from offset %d on is missing", e.Next)
}

// Stdin takes input of the client with the session key kid, and its ack, and
// returns the offset of the next byte to be sent. Bytes that were taken before
// are skipped, so that a repeated request is safe; EOF may be repeated, too.
//
// When the queue (256 KiB) is full it waits for room for up to 10 seconds or
// until ctx is done, and returns what was taken until then without an error. A
// request that begins beyond what was taken waits a second for the one before it,
// which may have been overtaken on another connection, and as long as any other
// if that one waits for room; then it is refused with [ReasonOffset] and an
// [OffsetError]. Under cover ([Stdin.Cover]) nothing waits, and what does not follow
// on is not taken. The program's input being closed is not an error; what is
// sent then goes nowhere, as into a pipe that nobody reads.
func (s *Session) Stdin(ctx context.Context, kid string, in Stdin) (next uint64, err error) {
	s.mu.Lock()
	defer s.unlock()
	now := time.Now()
	if err = s.hear(kid, in.Ack, now); err == nil && in.Cover > 0 {
		err = s.takeCovered(in, now)
	} else if err == nil && (len(in.Data) > 0 || in.EOF) {
		err = s.takeInput(ctx, kid, in)
	}
	return s.input.next, err
}

// takeInput is Stdin after the ack. It holds the lock except while it waits.
func (s *Session) takeInput(ctx context.Context, kid string, in Stdin) error {
	var patience *time.Timer
	for {
		if err := s.inputError(in); err != nil {
			return err
		}
		if in.Offset <= s.input.next {
			if s.placeInput(in) {
				return nil
			}
		}
		if patience == nil {
			limit := stdinPatience
			if in.Offset > s.input.next && !s.input.follows(in.Offset) {
				limit = gapPatience
			}
			patience = time.NewTimer(limit)
			defer patience.Stop()
			s.input.wait(in.Offset)
			defer s.input.unwait(in.Offset)
		}
		if !s.awaitInput(ctx, patience.C) {
			if in.Offset > s.input.next {
				return s.gap()
			}
			return nil
		}
		if err := s.owns(kid); err != nil {
			return err
		}
	}
}

// inputError says why input cannot be taken, now or ever.
func (s *Session) inputError(in Stdin) error {
	end := in.Offset + uint64(len(in.Data))
	switch {
	case s.ended:
		return Deny(ReasonSessionEnded, nil)
	case s.input.eof && end > s.input.next:
		return Deny(ReasonBody, fmt.Errorf("input after its end at offset %d", s.input.next))
	case in.EOF && end < s.input.next:
		return Deny(ReasonBody, fmt.Errorf("end of input at offset %d, but %d bytes were taken", end, s.input.next))
	}
	return nil
}

func (s *Session) gap() error {
	return &Denied{
		Reason: ReasonOffset,
		Err:    &OffsetError{Next: s.input.next},
		Public: fmt.Sprintf("input before this offset is missing: send from offset %d", s.input.next),
	}
}

// placeInput queues what is new and has room; all says that nothing is left.
func (s *Session) placeInput(in Stdin) (all bool) {
	n, all := s.queueInput(in)
	if n > 0 || in.EOF {
		s.feedNow()
		s.input.notify()
	}
	return all
}

// queueInput is placeInput without telling anybody.
func (s *Session) queueInput(in Stdin) (n int, all bool) {
	data := in.Data[min(s.input.next-in.Offset, uint64(len(in.Data))):]
	n = s.input.push(data)
	if all = n == len(data); all && in.EOF {
		s.input.eof = true
	}
	if n > 0 {
		s.lastInput = time.Now()
		s.typed.Store(int64(s.lastInput.Sub(s.started)))
	}
	return n, all
}

// feedMore starts the writer if there is something for it to do.
func (s *Session) feedMore() {
	in := &s.input
	if in.feeding || s.ended || in.queued == 0 && (!in.eof || in.shut) {
		return
	}
	in.feeding = true
	s.working.Add(1)
	go s.feed()
}

// maxPrompt is the most that is written at once by whoever brings it, in bytes:
// what is typed is less.
const maxPrompt = 256

// feedNow gives the program what was typed, without a writer if it takes it
// without waiting: an echo is then on its way before the answer to its key. What
// is left, or fails, is the writer's.
func (s *Session) feedNow() {
	in := &s.input
	w, prompt := s.program.Stdin().(PromptWriter)
	p := in.front()
	if !prompt || in.feeding || s.ended || len(p) == 0 || in.queued > maxPrompt || s.tap.wants() {
		s.feedMore()
		return
	}
	in.feeding = true
	s.working.Add(1)
	s.mu.Unlock()
	failpoint.Hit(failpoint.InputQueued, "")
	n, _ := w.WritePrompt(p)
	s.backlog.makeSpare()
	failpoint.Hit(failpoint.InputWritten, "")
	s.mu.Lock()
	in.pop(n)
	in.feeding = false
	s.working.Done()
	s.still.Broadcast()
	if s.ended {
		in.discard()
		return
	}
	s.feedMore()
}

// feedInput writes what is queued to the program and ends.
func (s *Session) feedInput() {
	defer s.working.Done()
	w, to := s.program.Stdin(), io.Writer(nil)
	if to = w; s.tap.wants() {
		to = tappedWriter{session: s, to: w}
	}
	s.mu.Lock()
	defer s.unlock()
	in := &s.input
	for !s.ended {
		if p := in.front(); len(p) > 0 {
			s.mu.Unlock()
			failpoint.Hit(failpoint.InputQueued, "")
			n, err := to.Write(p)
			s.backlog.makeSpare()
			failpoint.Hit(failpoint.InputWritten, "")
			s.mu.Lock()
			if in.pop(n); errors.Is(err, ErrSuspended) {
				break
			} else if err != nil {
				in.discard()
			}
		} else if in.eof && !in.shut {
			s.mu.Unlock()
			err := w.Close() // whoever does not read does not miss it
			s.mu.Lock()
			if errors.Is(err, ErrSuspended) {
				break
			}
			in.shut = true
		} else {
			break
		}
		in.notify()
	}
	in.feeding = false
	s.still.Broadcast()
	in.notify()
	if s.ended {
		in.discard()
		in.notify()
	}
}

// awaitInput waits, without the lock, until the input changes. It returns false
// when ctx is done or the timer fires first.
func (s *Session) awaitInput(ctx context.Context, timer <-chan time.Time) bool {
	if s.input.changed == nil {
		s.input.changed = make(chan struct{})
	}
	changed := s.input.changed
	s.unlock()
	defer s.mu.Lock()
	select {
	case <-changed:
		return true
	case <-timer:
		return false
	case <-ctx.Done():
		return false
	}
}

// awaitGiven waits until input up to offset has been given to the program. It
// gives up after 10 seconds, and when input that is there makes no progress.
func (s *Session) awaitGiven(ctx context.Context, offset uint64) {
	now := time.Now()
	deadline := now.Add(signalPatience)
	given, moved := s.input.given, now
	for s.input.given < offset && !s.ended && ctx.Err() == nil {
		now = time.Now()
		until := deadline
		if s.input.next < offset || s.input.given != given {
			given, moved = s.input.given, now
		}
		if stuck := moved.Add(stuckInput); s.input.next >= offset && stuck.Before(until) {
			until = stuck
		}
		if !now.Before(until) {
			return
		}
		timer := time.NewTimer(until.Sub(now))
		s.awaitInput(ctx, timer.C)
		timer.Stop()
	}
}
