package shell

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// Stream is one client's connection to a session's output. Next is for one
// goroutine; Close may be called from any.
type Stream struct {
	session *Session
	cursor  *Cursor
	from    uint64
	end     uint64
	stdin   uint64

	due    atomic.Uint32 // what Next must look at before output
	exit   *Frame        // taken when there was something to be told before it
	gather *gatherer     // a terminal's; nil gives everything as it comes
	window *window       // a terminal's; nil has none of its own
	lent
	streamCover
	prompt streamPrompt

	// Under the session's lock.
	farewell []byte
	onEnd    func()
}

const (
	dueNotice = 1 << iota
	dueKeepalive
	dueEnd
	dueChunk // see [CoverChunk]
)

// From is the output offset at which the stream began.
func (st *Stream) From() uint64 { return st.from }

// End is the output offset that the session had reached when the stream began:
// what is before it was there before the client was.
func (st *Stream) End() uint64 { return st.end }

// StdinNext is the input offset that was expected when the client attached.
func (st *Stream) StdinNext() uint64 { return st.stdin }

// OnTerminal says whether the session's program runs on one.
func (st *Stream) OnTerminal() bool { return st.session.terminal() }

// Next returns the next frame: output of at most len(buf) bytes, the exit, a
// notice, or a keepalive, at most 10 seconds apart. Its data is in buf (so a
// caller may keep [FrameHeaderSize] bytes before it for the header), unless buf
// is too small for a notice or the exit. It ends with io.EOF after the exit, which
// the session keeps until it is acknowledged, and when the client has lost its
// place; with [ErrOutputNotKept] when the client acknowledged what it was never
// sent; and with the context's error.
func (st *Stream) Next(ctx context.Context, buf []byte) (Frame, error) {
	st.begin()
	for {
		if st.Unfinished() {
			return st.padding(buf), nil
		}
		if st.due.Load()&^dueChunk != 0 {
			if f, ok, err := st.interjection(buf); ok || err != nil {
				return f, err
			}
		}
		if st.exit != nil {
			f := *st.exit
			st.exit = nil
			return f, nil
		}
		room, chunk := st.beginChunk(buf)
		if !chunk && st.holds() {
			// With its memory: what a key shows wakes it, and must cost what
			// nothing costs.
			if err := st.wait(ctx); err != nil {
				return Frame{}, err
			}
			continue
		}
		if st.gather != nil && !chunk && !st.session.answers() {
			st.gather.hold(ctx, st.cursor)
		}
		f, ok, err := st.cursor.take(room)
		switch {
		case ok && f.Type == FrameExit && st.due.Load()&^dueChunk != 0:
			f.Data = bytes.Clone(f.Data)
			st.exit = &f
			continue
		case ok:
			st.given(f)
			if chunk {
				st.endChunk(f)
			} else if st.gather != nil {
				st.bulk = st.bulk && st.cursor.pending() > 0
			}
			return f, nil
		case err == io.ErrClosedPipe:
			continue // dueEnd was set before
		case err != nil:
			return Frame{}, err
		case chunk:
			st.pad = CoverChunk
			continue
		}
		st.rest()
		if err := st.wait(ctx); err != nil {
			return Frame{}, err
		}
		buf = st.back(buf)
	}
}

// wait waits for output, or for something else to look at.
func (st *Stream) wait(ctx context.Context) error {
	st.prompt.turn.Unlock()
	defer st.prompt.turn.Lock()
	select {
	case <-st.cursor.wake:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// interjection returns what goes between output.
func (st *Stream) interjection(buf []byte) (Frame, bool, error) {
	s := st.session
	s.mu.Lock()
	defer s.unlock()
	end := st.cursor.position()
	if st.exit != nil {
		end--
	}
	due := st.due.Load()
	switch {
	case st.farewell != nil:
		data := append(buf[:0], st.farewell...)
		st.farewell = nil
		return Frame{Type: FrameNotice, End: end, Data: data}, true, nil
	case due&dueEnd != 0:
		return Frame{}, false, io.EOF
	case due&dueNotice != 0 && len(s.notices) > 0:
		data := append(buf[:0], s.notices[0]...)
		s.notices = s.notices[1:]
		return Frame{Type: FrameNotice, End: end, Data: data}, true, nil
	case due&dueKeepalive != 0:
		st.due.And(^uint32(dueKeepalive))
		return Frame{Type: FrameKeepalive, End: end, Data: appendKeepalive(buf[:0])}, true, nil
	}
	st.due.And(^uint32(dueNotice)) // all are told
	return Frame{}, false, nil
}

// raise makes Next look at what is due.
func (st *Stream) raise(due uint32) {
	st.due.Or(due)
	st.cursor.poke()
}

// OnEnd sets what is called once when the session ends the stream: its exit was
// acknowledged, another client has its place, or its own was silent for 25
// seconds. By then Next returns the last frames and io.EOF; a caller that is
// stuck in a write to a client who does not read sets a deadline here. It is
// called at once if the stream has ended, must not block, and needs no undoing.
func (st *Stream) OnEnd(f func()) {
	s := st.session
	s.mu.Lock()
	defer s.unlock()
	if s.stream == st {
		st.onEnd = f
	} else {
		s.after.ended = f
	}
}

// Close says that the client's connection is gone: the session is detached and
// waits for it as long as linger, unless another stream has its place.
func (st *Stream) Close() { st.session.leave(st) }

// handed counts output that a client was given.
func (s *Session) handed(f Frame) {
	if s.cfg.OnEvent == nil || f.Type == FrameExit {
		return
	}
	s.emit(Event{
		Kind: EventOutput, Source: s.cfg.Grant.Source, Subject: s.cfg.Grant.Subject,
		Output: uint64(len(f.Data)),
	})
}

// A keepalive has a random length, and comes at a random moment well within the
// 10 seconds that are promised: an observer learns nothing from either.
func nextKeepalive(now time.Time) time.Time {
	return now.Add(3*time.Second + time.Duration(rand.Int64N(int64(6*time.Second))))
}

func appendKeepalive(dst []byte) []byte {
	for n := 8 + rand.IntN(57); n > 0; n-- {
		dst = append(dst, byte(rand.Uint32()))
	}
	return dst
}
