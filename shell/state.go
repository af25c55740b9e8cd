package shell

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// SessionState is a frozen session, as one image of the agent hands it to the
// next; see [Registry.States] and [RestoreSession]. Moments are told by how long
// they were ago when the session was frozen, so that no clock of the wall
// matters.
type SessionState struct {
	Opening Opening  `json:"opening"` // as the registry knows it
	Keys    []string `json:"keys"`    // session keys, oldest first; the last one may write

	OpenHash string      `json:"openHash"`
	Opened   Grant       `json:"opened"` // what the session began with
	Grant    Grant       `json:"grant"`  // what is in force
	Request  OpenRequest `json:"request"`
	// First is where the open came from, Remote where the client was last.
	First  netip.Addr    `json:"first"`
	Remote netip.Addr    `json:"remote"`
	Grace  time.Duration `json:"grace"`

	Age      time.Duration `json:"age"`
	Detached time.Duration `json:"detached"` // ago, as all that follow
	Heard    time.Duration `json:"heard"`
	Typed    time.Duration `json:"typed"`
	Progress time.Duration `json:"progress"`
	Shown    time.Duration `json:"shown"` // the last output, after the start
	Attached bool          `json:"attached"`
	Awaited  bool          `json:"awaited"`
	Warned   int           `json:"warned"`
	Notices  [][]byte      `json:"notices"`

	Control uint64      `json:"control"` // sequence number of the last control request
	Input   InputState  `json:"input"`
	Output  OutputState `json:"output"`
	// Tap is who reads along; nil when nobody does.
	Tap *TapOptions `json:"tap,omitempty"`

	HungUp   bool   `json:"hungUp"`
	Reason   string `json:"reason"`
	Exit     Exit   `json:"exit"`
	Ended    bool   `json:"ended"`    // the exit is the last of the output
	Finished bool   `json:"finished"` // and the program is released
}

// InputState is what was typed and not yet given to the program.
type InputState struct {
	Next   uint64 `json:"next"`
	Given  uint64 `json:"given"`
	EOF    bool   `json:"eof"`
	Shut   bool   `json:"shut"`
	Broken bool   `json:"broken"`
	// Queued are the bytes from Given to Next. They belong to the session until
	// it is thawed.
	Queued [][]byte `json:"-"`
}

// OutputState is what is kept of the output.
type OutputState struct {
	Limit int `json:"limit"` // of the backlog, in bytes
	// Widest is what a client far away may make of Limit; 0 for nothing.
	Widest int    `json:"widest,omitempty"`
	Start  uint64 `json:"start"` // offset of the first record
	Acked  uint64 `json:"acked"`
	// Records are one after the other: one byte of [FrameType], 24 bits of
	// length, the data. They belong to the session until it is thawed.
	Records [][]byte `json:"-"`
}

// Check says what in a state contradicts itself.
func (st *SessionState) Check() error {
	if err := st.check(); err != nil {
		return err
	}
	_, _, _, err := restoreBacklog(st.Output, st.Ended, st.Tap)
	return err
}

// check is Check without the output.
func (st *SessionState) check() error {
	in := &st.Input
	queued := total(in.Queued)
	switch {
	case st.Opening.ID == "" || len(st.Keys) == 0 || len(st.Keys) > maxSessionKeys:
		return errors.New("it has no id or not between one and eight keys")
	case in.Given > in.Next || in.Next-in.Given != queued || queued > maxInput || in.Broken && queued > 0:
		return fmt.Errorf("%d bytes of input wait between offsets %d and %d", queued, in.Given, in.Next)
	case st.Warned < 0 || st.Warned > len(durationWarnings) || len(st.Notices) > maxNotices:
		return errors.New("its notices are more than there can be")
	case st.Finished && !st.Ended, st.Ended && queued > 0, in.Shut && !in.EOF:
		return errors.New("it has ended and goes on")
	}
	for _, ago := range []time.Duration{st.Age, st.Detached, st.Heard, st.Typed, st.Progress, st.Shown, st.Grace} {
		if ago < 0 || ago > maxAge {
			return fmt.Errorf("%v is no age", ago)
		}
	}
	return nil
}

// maxAge keeps sums of durations from overflowing.
const maxAge = 100 * 365 * 24 * time.Hour

func total(parts [][]byte) (n uint64) {
	for _, p := range parts {
		n += uint64(len(p))
	}
	return n
}

// state describes the frozen session.
func (s *Session) state(o Opening) SessionState {
	now := time.Now()
	ago := func(t time.Time) time.Duration { return max(now.Sub(t), 0) }
	st := SessionState{
		Opening: o, Keys: s.kids, OpenHash: s.cfg.OpenHash, Opened: s.cfg.Grant, Grant: s.grant,
		Request: s.cfg.Request, First: s.cfg.Remote, Remote: s.remote, Grace: s.cfg.Grace,
		Age: ago(s.started), Detached: ago(s.detachedAt), Heard: ago(s.lastHeard), Typed: ago(s.lastInput),
		Shown: max(time.Duration(s.lastOutput.Load()), 0), Attached: s.stream != nil, Awaited: s.awaited,
		Warned: s.warned, Notices: s.notices, Control: s.seq,
		Input: s.input.state(), Output: s.backlog.state(s.anchor), Tap: s.tap.state(),
		HungUp: s.isHungUp(), Reason: s.reason, Exit: s.exit, Ended: s.ended, Finished: s.finished,
	}
	if s.ended {
		st.Progress = ago(s.lastProgress)
	}
	return st
}

func (in *input) state() InputState {
	st := InputState{Next: in.next, Given: in.given, EOF: in.eof, Shut: in.shut, Broken: in.broken}
	for i, g := range in.queue {
		p := g.buf[:g.n]
		if i == 0 {
			p = p[in.read:]
		}
		st.Queued = append(st.Queued, p)
	}
	return st
}

func (b *Backlog) state(anchor *Cursor) OutputState {
	b.mu.Lock()
	defer b.mu.Unlock()
	st := OutputState{Limit: b.limit, Widest: b.widest, Start: b.start(), Acked: anchor.held}
	for _, g := range b.segs {
		st.Records = append(st.Records, g.buf[:g.n])
	}
	return st
}
