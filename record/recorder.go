package record

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"shellagent/seal"
	"shellagent/shell"
)

// RecorderOptions say what a [Recorder] does besides writing all it is given.
type RecorderOptions struct {
	// Sample, unless 0, is how many bytes of output are recorded in a second; the
	// rest of the second is left out, with a mark that says how much.
	Sample int64
	// Ended is called once, in a goroutine of its own, when nothing is written
	// any more.
	Ended func(Result)
}

// Result is how a recording ended.
type Result struct {
	// Link is the last one; of a complete recording it stands for all of it.
	Link seal.Link
	// Err is nil for a complete recording.
	Err error
}

// Recorder writes down what a session's tap gives until the session's exit. It
// has one goroutine, which has no buffer while nothing happens.
type Recorder struct {
	w       *Writer
	tap     *shell.Tap
	options RecorderOptions
	done    chan struct{}
	pauses  chan *pause

	timer *time.Timer
	armed bool

	inPlace bool            // output is read to where it is kept, because all of it is
	stream  shell.FrameType // of the last output
	offset  uint64          // of the output read so far
	typed   typed
	sample  sample
}

// Follow records what a tap gives. The tap and the writer are the recorder's
// from now on.
func Follow(w *Writer, tap *shell.Tap, o RecorderOptions) *Recorder {
	r := &Recorder{
		w: w, tap: tap, options: o, done: make(chan struct{}), pauses: make(chan *pause),
		timer: time.NewTimer(time.Hour), offset: tap.Offset(),
	}
	r.timer.Stop()
	r.sample.limit = o.Sample
	r.inPlace = o.Sample == 0 && !tap.Input()
	go r.run()
	return r
}

// Done is closed when the recording has ended, whichever way, and Ended has
// returned.
func (r *Recorder) Done() <-chan struct{} { return r.done }

func (r *Recorder) run() {
	defer close(r.done)
	err := r.drain()
	for err == nil {
		if err = r.wait(); err == nil {
			err = r.drain()
		}
	}
	r.tap.Close()
	r.timer.Stop()
	result := Result{Link: r.w.link, Err: err}
	if err == io.EOF {
		result.Err = nil
	} else {
		r.w.Abandon()
	}
	if r.options.Ended != nil {
		r.options.Ended(result)
	}
}

// drain writes all that there is. It returns io.EOF after the exit.
func (r *Recorder) drain() error {
	room := r.w.output
	if !r.inPlace {
		buf := tapBuffers.Get().(*[]byte)
		defer tapBuffers.Put(buf)
		room = func(shell.FrameType) []byte { return *buf }
	}
	defer r.w.leave()
	for {
		e, ok, err := r.tap.Take(room(r.stream))
		if !ok {
			if err == io.EOF {
				err = errors.New("recording: the session was forgotten before its exit")
			}
			return err
		}
		if err := r.event(e); err != nil {
			return err
		}
		if left, open := r.w.Due(); open && left == 0 {
			if err := r.w.Flush(); err != nil {
				return err
			}
		}
	}
}

var tapBuffers = sync.Pool{New: func() any { b := make([]byte, 64<<10); return &b }}

// wait returns when there may be something to take, having closed the segment if
// that was due before.
func (r *Recorder) wait() error {
	if left, open := r.w.Due(); open && !r.armed {
		r.timer.Reset(left)
		r.armed = true
	}
	select {
	case <-r.tap.Wake():
	case <-r.timer.C:
		r.armed = false
		if left, open := r.w.Due(); open && left == 0 {
			return r.w.Flush()
		}
	case p := <-r.pauses:
		return r.pause(p)
	}
	return nil
}

// event writes down one event.
func (r *Recorder) event(e shell.TapEvent) error {
	switch e.Kind {
	case shell.TapOutput:
		return r.output(e)
	case shell.TapGap:
		missing := e.Frame.End - r.offset
		r.offset = e.Frame.End
		return r.w.Mark(e.At, fmt.Sprintf("%d bytes of output are missing: what keeps the recording was too slow", missing))
	case shell.TapExit:
		return r.exit(e)
	case shell.TapResize:
		return r.w.Resize(e.At, int(e.Size.Cols), int(e.Size.Rows))
	case shell.TapInput:
		return r.w.Input(e.At, e.Data)
	case shell.TapTyped:
		return r.input(e.At, r.typed.press(e.Data, time.Now()))
	case shell.TapLost:
		return r.w.Mark(e.At, "input and sizes are missing: what keeps the recording was too slow")
	}
	return nil
}

func (r *Recorder) output(e shell.TapEvent) error {
	data := e.Frame.Data
	r.offset = e.Frame.End
	if r.inPlace {
		r.stream = e.Frame.Type
		return r.w.took(e.At, e.Frame.Type, len(data))
	}
	keep, left := r.sample.keep(e.At, len(data))
	if err := r.leftOut(e.At, left); err != nil {
		return err
	}
	if err := r.w.Output(e.At, e.Frame.Type, data[:keep]); err != nil {
		return err
	}
	return r.input(e.At, r.typed.show(data, time.Now()))
}

func (r *Recorder) input(at time.Duration, p []byte) error {
	if len(p) == 0 {
		return nil
	}
	return r.w.Input(at, p)
}

func (r *Recorder) leftOut(at time.Duration, n int64) error {
	if n == 0 {
		return nil
	}
	return r.w.Mark(at, fmt.Sprintf("%d bytes of output are left out: more than %d in a second", n, r.sample.limit))
}

func (r *Recorder) exit(e shell.TapEvent) error {
	if err := r.leftOut(e.At, r.sample.left); err != nil {
		return err
	}
	var exit shell.Exit
	if err := json.Unmarshal(e.Frame.Data, &exit); err != nil {
		return fmt.Errorf("recording: the exit: %w", err)
	}
	if _, err := r.w.End(e.At, exit.Code); err != nil {
		return err
	}
	return io.EOF
}

// sample leaves out what is more than a limit in each second.
type sample struct {
	limit  int64 // 0 for none
	second time.Duration
	taken  int64
	left   int64
}

// keep says how much of n bytes at a time is to be kept, and how many bytes were
// left out in the second before, when that has just ended.
func (s *sample) keep(at time.Duration, n int) (keep int, before int64) {
	if s.limit == 0 {
		return n, 0
	}
	if second := at.Truncate(time.Second); second != s.second {
		before = s.left
		s.second, s.taken, s.left = second, 0, 0
	}
	keep = int(min(int64(n), s.limit-s.taken))
	s.taken += int64(keep)
	s.left += int64(n - keep)
	return keep, before
}

// pause is a recorder's standstill.
type pause struct {
	frozen chan State
	thaw   chan struct{}
}

// Freeze brings the recorder to a standstill once it has written down all that
// its session gave, which must be frozen, and returns from where [Resume] goes
// on, and a function that lets it go on instead. The state is nil when the
// recording has ended. The error is that ctx was done first; then it goes on.
func (r *Recorder) Freeze(ctx context.Context) (st *State, thaw func(), err error) {
	p := &pause{frozen: make(chan State, 1), thaw: make(chan struct{})}
	thaw = sync.OnceFunc(func() { close(p.thaw) })
	select {
	case r.pauses <- p:
	case <-r.done:
		return nil, thaw, nil
	case <-ctx.Done():
		return nil, thaw, fmt.Errorf("a recording does not come to rest: %w", ctx.Err())
	}
	select {
	case st := <-p.frozen:
		return &st, thaw, nil
	case <-r.done:
		return nil, thaw, nil
	case <-ctx.Done():
		thaw()
		return nil, thaw, fmt.Errorf("a recording cannot be written: %w", ctx.Err())
	}
}

func (r *Recorder) pause(p *pause) error {
	if err := r.drain(); err != nil {
		return err
	}
	st, err := r.w.State()
	if err != nil {
		return err
	}
	p.frozen <- st
	<-p.thaw
	return nil
}
