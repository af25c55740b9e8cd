package forwardd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/go-json-experiment/json"

	"shellagent/internal/forward"
)

// MaxMessage bounds a message of a [Channel] in bytes. A path may need six for
// each of its own.
const MaxMessage = 32 << 10

// message goes to the agent: a question with a number, or without one an end. The
// two sides may be of different versions, since a helper lives on when the agent is
// replaced: neither minds a member that it does not know.
type message struct {
	ID uint64 `json:"id,omitzero"`
	Question
	End *End `json:"end,omitzero"`
}

// reply is the agent's answer to a question.
type reply struct {
	ID uint64 `json:"id"`
	Permit
	Code   forward.Code `json:"code,omitzero"`
	Detail string       `json:"detail,omitzero"`
}

// Channel asks the agent over a socket that keeps messages apart (SOCK_SEQPACKET):
// one message for each Read and Write.
type Channel struct {
	conn io.ReadWriteCloser

	mu      sync.Mutex
	last    uint64
	waiting map[uint64]chan<- reply // nil once the socket ended
}

var _ Decider = (*Channel)(nil)

// NewChannel returns a channel over conn, and owns it.
func NewChannel(conn io.ReadWriteCloser) *Channel {
	c := &Channel{conn: conn, waiting: make(map[uint64]chan<- reply)}
	go c.read()
	return c
}

// Close ends the channel: what is asked fails.
func (c *Channel) Close() error { return c.conn.Close() }

func (c *Channel) read() {
	buf := make([]byte, MaxMessage)
	for {
		n, err := c.conn.Read(buf)
		if n == 0 || err != nil {
			break
		}
		var r reply
		if err := json.Unmarshal(buf[:n], &r); err != nil {
			continue // whoever asked gives up
		}
		c.mu.Lock()
		if w := c.waiting[r.ID]; w != nil {
			w <- r // there is room for the one answer
			delete(c.waiting, r.ID)
		}
		c.mu.Unlock()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range c.waiting {
		close(w)
	}
	c.waiting = nil
}

var errNoAgent = errors.New("nobody is there to ask")

// Ask implements [Decider].
func (c *Channel) Ask(ctx context.Context, q Question) (Permit, error) {
	answer := make(chan reply, 1)
	c.mu.Lock()
	if c.waiting == nil {
		c.mu.Unlock()
		return Permit{}, errNoAgent
	}
	c.last++
	id := c.last
	c.waiting[id] = answer
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.waiting, id)
	}()
	if err := c.send(message{ID: id, Question: q}); err != nil {
		return Permit{}, err
	}
	select {
	case r, ok := <-answer:
		switch {
		case !ok:
			return Permit{}, errNoAgent
		case r.Code != "":
			return Permit{}, &forward.Refusal{Code: r.Code, Detail: r.Detail}
		}
		return r.Permit, nil
	case <-ctx.Done():
		return Permit{}, ctx.Err()
	}
}

// Ended implements [Decider]. An agent that is gone is not told.
func (c *Channel) Ended(q Question, e End) { _ = c.send(message{Question: q, End: &e}) }

func (c *Channel) send(m message) error {
	text, err := json.Marshal(m)
	if err == nil && len(text) > MaxMessage {
		err = fmt.Errorf("a message of %d bytes", len(text))
	}
	if err == nil {
		_, err = c.conn.Write(text)
	}
	return err
}

// Judge is the agent's side of a [Channel].
type Judge interface {
	// Judge returns a *[forward.Refusal] for a no.
	Judge(Question) (Permit, *forward.Refusal)
	// Ended is told what [Decider.Ended] is.
	Ended(Question, End)
}

// Answer has j judge one message of a [Channel], and returns the reply, nil when it
// takes none. The error is of what is no message: whoever sends it is no helper.
func Answer(j Judge, text []byte) ([]byte, error) {
	var m message
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, fmt.Errorf("forward: message of the helper: %w", err)
	}
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("forward: message of the helper: %w", err)
	}
	if m.End != nil {
		j.Ended(m.Question, *m.End)
		return nil, nil
	}
	r := reply{ID: m.ID}
	if permit, refusal := j.Judge(m.Question); refusal != nil {
		r.Code, r.Detail = refusal.Code, refusal.Detail
	} else {
		r.Permit = permit
	}
	return json.Marshal(r)
}

// check bounds what is written down of a question.
func (m *message) check() error {
	q := &m.Question
	if m.End != nil && m.End.Never { // it was not understood, or not even read
		if q.Do == "" {
			q.Do = DoOpen
		}
		if q.Kind == "" {
			q.Kind = forward.TCP
		}
	}
	switch {
	case (m.ID == 0) == (m.End == nil):
		return errors.New("it is neither a question nor an end")
	case q.Do != DoOpen && q.Do != DoListen && q.Do != DoAccept:
		return fmt.Errorf("it does %.20q", q.Do)
	case q.Kind != forward.TCP && q.Kind != forward.Unix && q.Kind != forward.Agent:
		return fmt.Errorf("it is of %.20q", q.Kind)
	case len(q.Host) > 255 || len(q.From) > 100 || len(q.Path) > 4096 || len(q.Addresses) > maxAddresses:
		return errors.New("it is too large")
	case m.End != nil && !(m.End.Seconds >= 0):
		return errors.New("a time is negative")
	}
	return nil
}
