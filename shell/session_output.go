package shell

import (
	"encoding/json"
	"io"
	"sync/atomic"
	"time"

	"shellagent/internal/failpoint"
)

const (
	// A background job that holds the terminal open is left behind when the
	// program has ended and nothing came for drainQuiet, or drainTime or
	// drainBytes later. What the program itself wrote is there long before:
	// the kernel holds at most some 64 KiB of it.
	drainQuiet = 250 * time.Millisecond
	drainTime  = 2 * time.Second
	drainBytes = 256 << 10
	drainPoll  = 25 * time.Millisecond

	// maxEmptyReads is how often a reader may return nothing and no error.
	maxEmptyReads = 100
)

// readOutputs starts the readers; the channel is closed at the end of the last.
func (s *Session) readOutputs() <-chan struct{} {
	ended := make(chan struct{})
	outputs := map[FrameType]io.Reader{}
	for _, t := range []FrameType{FrameStdout, FrameStderr} {
		if r := s.program.Output(t); r != nil {
			outputs[t] = r
		}
	}
	var left atomic.Int32
	left.Store(int32(len(outputs)))
	for t, r := range outputs {
		s.working.Go(func() {
			s.read(t, r)
			if left.Add(-1) == 0 {
				close(ended)
			}
		})
	}
	if len(outputs) == 0 {
		close(ended)
	}
	return ended
}

// read moves one output into the backlog until it ends.
func (s *Session) read(t FrameType, r io.Reader) {
	ready, _ := r.(ReadinessWaiter)
	if ready == nil {
		s.readPlain(t, r)
		return
	}
	for empty := 0; empty < maxEmptyReads; empty++ {
		if ready.WaitReadable() != nil {
			return
		}
		room, err := s.backlog.Reserve(t)
		if err != nil {
			return
		}
		n, err := r.Read(room)
		failpoint.Hit(failpoint.OutputRead, "")
		s.sawOutput()
		s.commit(n)
		failpoint.Hit(failpoint.OutputKept, "")
		if err != nil {
			return
		}
		if n > 0 {
			empty = -1
		}
	}
}

// readPlain reads from what can only block, with a buffer of its own.
func (s *Session) readPlain(t FrameType, r io.Reader) {
	buf := make([]byte, 4<<10)
	for empty := 0; empty < maxEmptyReads; empty++ {
		n, err := r.Read(buf)
		s.sawOutput()
		if s.backlog.Append(t, buf[:n]) != nil || err != nil {
			return
		}
		if n > 0 {
			empty = -1
		}
	}
}

func (s *Session) sawOutput() { s.lastOutput.Store(int64(time.Since(s.started))) }

// run sees the program to its end. The order is a promise: status, then the
// end of both outputs, then the exit.
func (s *Session) run(outputs <-chan struct{}) {
	exit := s.program.Wait()
	s.drain(outputs)
	failpoint.Hit(failpoint.ProgramEnded, "")
	s.end(exit)
	failpoint.Hit(failpoint.ExitKept, "")
	s.release()
}

// release is what is left to do after the exit.
func (s *Session) release() {
	s.program.Close()
	s.working.Wait()
	s.finish()
}

// drain waits for the end of output after the program's own. On pipes that
// takes as long as anybody holds them, as under sshd, unless the session was
// hung up; on a terminal only what is there is waited for.
func (s *Session) drain(outputs <-chan struct{}) {
	if !s.terminal() {
		select {
		case <-outputs:
			return
		case <-s.hung:
		}
	}
	var spent, quiet time.Duration
	first := s.backlog.End()
	last := first
	poll := time.NewTimer(drainPoll)
	defer poll.Stop()
	for spent < drainTime && quiet < drainQuiet && last-first < drainBytes {
		select {
		case <-outputs:
			return
		case <-poll.C:
			poll.Reset(drainPoll)
		}
		// A slow client's full backlog is no reason to lose its output; that
		// nobody wants the session any more is.
		if s.backlog.full() && !s.isHungUp() {
			continue
		}
		spent += drainPoll
		quiet += drainPoll
		if end := s.backlog.End(); end != last {
			last, quiet = end, 0
		}
	}
}

func (s *Session) isHungUp() bool {
	select {
	case <-s.hung:
		return true
	default:
		return false
	}
}

// end appends the exit: from here on nothing is read and no input is taken.
func (s *Session) end(exit Exit) {
	s.mu.Lock()
	defer s.unlock()
	if exit.Reason == "" {
		exit.Reason = s.reason
	}
	data, err := json.Marshal(exit)
	if err != nil { // a struct of strings and numbers
		data = []byte(`{"code":255}`)
	}
	s.exit = exit
	s.ended = true
	s.live.Store(false)
	s.lastProgress = time.Now()
	s.input.end()
	s.endCover()
	s.backlog.seal(data)
}

// finish is the last thing that the session does by itself.
func (s *Session) finish() {
	s.mu.Lock()
	s.finished = true
	e := s.event(EventEnded)
	e.Duration, e.Exit = time.Since(s.started), s.exit
	e.Input, e.Output = s.input.next, s.outputBytes()
	s.after.events = append(s.after.events, e)
	s.unlock()
	close(s.done)

	s.mu.Lock()
	defer s.unlock()
	s.after.changed = true
	if _, all, _ := s.anchor.ack(0); all {
		s.told(time.Now())
	}
	s.pass(time.Now())
}
