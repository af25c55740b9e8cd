package share

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"shellagent/shell"
)

// Write gives input to the holder. It blocks while more is on its way than the
// session takes, and fails once the session is over.
func (r *Remote) Write(p []byte) (int, error) {
	r.tellAck()
	for n := 0; ; {
		m, err := r.reserve(len(p) - n)
		if err == nil {
			err = r.send(kindInput, p[n:n+m])
		}
		if n += m; err != nil || n == len(p) {
			return n, err
		}
	}
}

// maxInput bounds the input of one message, in bytes.
const maxInput = 64 << 10

// reserve takes room for at most n bytes of input, and waits for some.
func (r *Remote) reserve(n int) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.room == 0 && r.err == nil && !r.ended {
		r.changed.Wait()
	}
	if r.err != nil {
		return 0, r.err
	}
	if r.ended {
		return 0, fmt.Errorf("write after the end of input: %w", ErrEnded)
	}
	n = min(n, r.room, maxInput)
	r.room -= n
	return n, nil
}

// CloseWrite ends input after what was written.
func (r *Remote) CloseWrite() error {
	r.mu.Lock()
	again, err := r.ended, r.err
	r.ended = true
	r.changed.Broadcast()
	r.mu.Unlock()
	if again || err != nil {
		return err
	}
	return r.send(kindInputEnd, nil)
}

// Resize tells the terminal's size.
func (r *Remote) Resize(w shell.Winsize) { r.sendSize(kindResize, w) }

// Redraw makes a program that fills the terminal draw it anew, in size w.
func (r *Remote) Redraw(w shell.Winsize) { r.sendSize(kindRedraw, w) }

// Signal asks for a signal, by name ("INT"; see [shell.SignalRequest]). It says
// nothing of whether the program was given all input before.
func (r *Remote) Signal(name string) error { return r.send(kindSignal, []byte(name)) }

func (r *Remote) sendSize(k kind, w shell.Winsize) {
	if text, err := json.Marshal(w); err == nil {
		_ = r.send(k, text) // that the holder is gone is told by its output
	}
}

// Ack says that output up to an offset has left this process. It is sent with
// input, each 64 KiB, each second, and at once for the exit.
func (r *Remote) Ack(end uint64) {
	r.mu.Lock()
	r.acked = max(r.acked, end)
	waits := r.acked - r.told
	now := waits >= ackStep || r.exited
	if waits > 0 && !now && r.tell == nil {
		r.tell = time.AfterFunc(ackTime, r.tellAck)
	}
	r.mu.Unlock()
	if now {
		r.tellAck()
	}
}

func (r *Remote) tellAck() {
	r.mu.Lock()
	end := r.acked
	due := end > r.told && !r.closed
	r.told = end
	if r.tell != nil {
		r.tell.Stop()
		r.tell = nil
	}
	r.mu.Unlock()
	if due {
		_ = r.send(kindAck, binary.BigEndian.AppendUint64(nil, end))
	}
}

// Suspend says that this program stops, until Continue. It returns false, after a
// second or so, when the agent does not know.
func (r *Remote) Suspend() bool { return r.request(kindSuspend, suspendTime) == nil }

// Continue goes on after Suspend.
func (r *Remote) Continue() { _ = r.send(kindContinue, nil) }

// Detach leaves the program running. Input that was written is delivered first,
// if that takes no more than seconds.
func (r *Remote) Detach() error { return r.leave(kindDetach) }

// Close hangs up a program that runs, else lets go of its exit. It returns within
// seconds, and without waiting once the exit is there.
func (r *Remote) Close() error {
	r.tellAck()
	return r.leave(kindClose)
}

func (r *Remote) leave(k kind) error {
	r.mu.Lock()
	again, exited := r.closed, r.exited
	r.closed = true
	r.changed.Broadcast()
	r.mu.Unlock()
	if again {
		return nil
	}
	var err error
	if exited {
		err = r.send(k, nil) // the holder sees to the rest
	} else {
		err = r.request(k, doneTime)
	}
	r.conn.Close()
	<-r.read
	return err
}

// request asks for something that the holder answers.
func (r *Remote) request(k kind, limit time.Duration) error {
	select {
	case <-r.done: // of something that took too long
	default:
	}
	if err := r.send(k, nil); err != nil {
		return err
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case ok := <-r.done:
		return told(ok)
	case <-r.read:
		select {
		case ok := <-r.done: // its last word
			return told(ok)
		default:
			return ErrHolderGone
		}
	case <-timer.C:
		return fmt.Errorf("the holder of the shared connection does not answer")
	}
}

func told(ok bool) error {
	if !ok {
		return fmt.Errorf("the agent could not be told: %w", ErrEnded)
	}
	return nil
}

func (r *Remote) send(k kind, data []byte) error {
	r.writes.Lock()
	defer r.writes.Unlock()
	if err := send(r.conn.unix, k, data); err != nil {
		return gone(err)
	}
	return nil
}
