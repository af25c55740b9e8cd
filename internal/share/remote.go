package share

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"sync"
	"time"

	"shellagent/shell"
)

const (
	// ackStep is how much output is acknowledged by a message of its own.
	ackStep = 64 << 10
	// ackTime is how long less than that may wait.
	ackTime = time.Second
	// doneTime is how long a holder may take to leave a session: what it may take
	// to reach the agent, and a little more.
	doneTime = 5 * time.Second
	// suspendTime is the same for saying that the guest stops.
	suspendTime = 1500 * time.Millisecond
	// framesAhead is how many frames may wait for Next; outputWindow bounds their
	// bytes. spareBuffers are kept for those to come.
	framesAhead  = 4096
	spareBuffers = 4
)

// ErrEnded says that the session is over and takes nothing more.
var ErrEnded = errors.New("the session has ended")

// Remote is a session that a holder carries. Next is for one goroutine, the rest
// is safe for concurrent use. Close it in any case.
type Remote struct {
	conn *Conn
	info shell.SessionInfo
	to   Listening
	some chan struct{} // holds one: there is something for Next
	done chan bool     // answers to what was asked, of which there is one at a time
	read chan struct{} // closed when nothing more comes

	mu      sync.Mutex
	changed sync.Cond  // anything below has changed
	frames  []received // for Next
	over    error      // why no more come
	spare   [][]byte
	last    []byte // data of the frame that Next returned
	exited  bool   // and it was the exit
	closed  bool

	room  int   // for input
	err   error // why no more is sent
	ended bool  // the end of input was
	acked uint64
	told  uint64
	tell  *time.Timer // for what is acknowledged and not told

	writes sync.Mutex
}

type received struct {
	shell.Frame
	buf []byte
}

func newRemote(c *Conn, info shell.SessionInfo, to Listening) *Remote {
	r := &Remote{
		conn: c, info: info, to: to, room: inputWindow, acked: info.From, told: info.From,
		some: make(chan struct{}, 1), done: make(chan bool, 1), read: make(chan struct{}),
	}
	r.changed.L = &r.mu
	go r.receive()
	return r
}

// Info is what the agent said when the session began.
func (r *Remote) Info() shell.SessionInfo { return r.info }

// receive takes what comes until the connection ends.
func (r *Remote) receive() {
	defer close(r.read)
	err := r.receiveAll()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over = err; r.err == nil {
		r.err = err
	}
	r.changed.Broadcast()
	r.wake()
}

func (r *Remote) wake() {
	select {
	case r.some <- struct{}{}:
	default:
	}
}

func (r *Remote) receiveAll() error {
	for {
		k, data, err := receive(r.conn.in, r.buffer())
		if err != nil {
			return gone(err)
		}
		switch k {
		case kindFrame:
			f, err := parseFrame(data)
			if err != nil {
				return err
			}
			r.arrived(f, data)
		case kindCredit:
			if len(data) != 4 {
				return errMessage
			}
			r.mu.Lock()
			r.room = min(inputWindow, r.room+int(binary.BigEndian.Uint32(data)))
			r.changed.Broadcast()
			r.mu.Unlock()
		case kindDone:
			select {
			case r.done <- isYes(data):
			default:
			}
		case kindSaid, kindOutage:
			if err := r.to.hear(k, data); err != nil {
				return err
			}
		case kindFailed:
			return failureOf(data)
		default:
			return errMessage
		}
	}
}

// buffer returns what a message may be read into.
func (r *Remote) buffer() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(r.spare)
	if n == 0 {
		return nil
	}
	buf := r.spare[n-1]
	r.spare = r.spare[:n-1]
	return buf
}

// arrived keeps a frame for Next. The holder sends no more than fits into a
// window, so that only small frames without number would have to wait.
func (r *Remote) arrived(f shell.Frame, buf []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.frames) >= framesAhead && !r.closed {
		r.changed.Wait()
	}
	r.frames = append(r.frames, received{f, buf})
	if f.Type == shell.FrameExit && r.err == nil {
		r.err = ErrEnded
		r.changed.Broadcast()
	}
	r.wake()
}

// Next returns the next frame: output, a notice, or the exit, after which it
// returns io.EOF. The frame's data is valid until the next call. It fails with a
// *[Failure] when the session did, with [ErrHolderGone], and when ctx ends.
func (r *Remote) Next(ctx context.Context) (shell.Frame, error) {
	for {
		f, ok, err := r.next()
		if ok || err != nil {
			return f, err
		}
		select {
		case <-r.some:
		case <-ctx.Done():
			return shell.Frame{}, context.Cause(ctx)
		}
	}
}

func (r *Remote) next() (f shell.Frame, ok bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last != nil && len(r.spare) < spareBuffers {
		r.spare = append(r.spare, r.last)
	}
	r.last = nil
	switch {
	case r.exited:
		return f, false, io.EOF
	case len(r.frames) == 0:
		return f, false, r.over
	}
	first := r.frames[0]
	if r.frames = r.frames[1:]; len(r.frames) == framesAhead-1 {
		r.changed.Broadcast()
	}
	r.last, r.exited = first.buf, first.Type == shell.FrameExit
	return first.Frame, true, nil
}
