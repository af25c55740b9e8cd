package shell

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// RestoreSession goes on with a session that another image of the agent froze
// since ago, with the same program, which is suspended. Of cfg only OnEvent, OnGone and Now count.
// Its client, if there was one, has lost its connection and 25 seconds to come
// back, whatever linger says. p is not used for a state that is Finished, and
// may be nil then. The session is made known by [Registry.Adopt].
//
// The error says that the state is not one that Freeze made; p is untouched.
// Without one the session is in motion: who cannot have it adopted hangs it up.
func RestoreSession(cfg SessionConfig, st SessionState, p Program, since time.Duration) (*Session, error) {
	if err := st.check(); err != nil {
		return nil, fmt.Errorf("state of session %s: %w", st.Opening.ID, err)
	}
	if p == nil && !st.Finished {
		return nil, fmt.Errorf("state of session %s: its program is missing", st.Opening.ID)
	}
	backlog, anchor, tap, err := restoreBacklog(st.Output, st.Ended, st.Tap)
	if err != nil {
		return nil, fmt.Errorf("state of session %s: its output: %w", st.Opening.ID, err)
	}
	s := st.session(cfg, time.Now(), since)
	s.program, s.backlog, s.anchor = p, backlog, anchor
	if tap != nil {
		s.tap = &Tap{options: *st.Tap, cursor: tap, began: s.started, done: make(chan struct{})}
	}
	s.begin()
	s.goOn()
	return s, nil
}

// session makes what a state says, still without output and life.
func (st *SessionState) session(cfg SessionConfig, now time.Time, since time.Duration) *Session {
	cfg.ID, cfg.Grant, cfg.Request, cfg.Remote = st.Opening.ID, st.Opened, st.Request, st.First
	cfg.SessionKey, cfg.OpenHash, cfg.Backlog, cfg.Grace = st.Keys[0], st.OpenHash, st.Output.Limit, st.Grace
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	since = min(max(since, 0), maxAge)
	at := func(ago time.Duration) time.Time { return now.Add(-ago - since) }
	s := &Session{
		cfg: cfg, started: at(st.Age),
		done: make(chan struct{}), gone: make(chan struct{}), hung: make(chan struct{}),
		grant: st.Grant, remote: st.Remote, kids: slices.Clone(st.Keys), seq: st.Control,
		detachedAt: at(st.Detached), lastHeard: at(st.Heard), lastInput: at(st.Typed), lastProgress: at(st.Progress),
		awaited: st.Awaited, warned: st.Warned, notices: slices.Clone(st.Notices),
		reason: st.Reason, exit: st.Exit, ended: st.Ended, finished: st.Finished,
	}
	if st.Attached {
		s.detachedAt, s.awaited = now, true
	}
	if st.HungUp {
		close(s.hung)
	}
	s.lastOutput.Store(int64(st.Shown))
	s.live.Store(!st.Ended)
	s.input.restore(&st.Input)
	return s
}

// goOn sets the session in motion where it was frozen.
func (s *Session) goOn() {
	if suspender, ok := s.program.(Suspender); ok {
		suspender.Unsuspend()
	}
	switch {
	case s.finished:
		close(s.done)
	case s.ended:
		go s.release()
	default:
		go s.run(s.readOutputs())
	}
	s.mu.Lock()
	defer s.unlock()
	s.feedMore()
	if _, all, _ := s.anchor.ack(0); all && s.ended {
		s.told(time.Now())
	}
	s.pass(time.Now())
}

func (in *input) restore(st *InputState) {
	in.next, in.given = st.Given, st.Given
	for _, p := range st.Queued {
		in.push(p)
	}
	in.eof, in.shut, in.broken = st.EOF, st.Shut, st.Broken
}

var errRecords = errors.New("its records are not those of a backlog")

// restoreBacklog makes a backlog of records, the cursor that holds what is not
// acknowledged, and the one of who reads along, if somebody does.
func restoreBacklog(st OutputState, ended bool, tap *TapOptions) (*Backlog, *Cursor, *Cursor, error) {
	if st.Widest < 0 || st.Widest > WideBacklog {
		return nil, nil, nil, fmt.Errorf("%d bytes are no bound of a backlog", st.Widest)
	}
	b := NewBacklog(st.Limit)
	b.widest = st.Widest
	b.end, b.floor = st.Start, st.Start
	anchor, err := b.Cursor(Holding, st.Start)
	if err != nil {
		return nil, nil, nil, err
	}
	for _, records := range st.Records {
		for len(records) > 0 {
			if len(records) < recordHeader || b.sealed {
				return nil, nil, nil, errRecords
			}
			t, n := FrameType(records[0]), int(records[1])<<16|int(records[2])<<8|int(records[3])
			records = records[recordHeader:]
			if n > len(records) || !b.put(t, records[:n]) {
				return nil, nil, nil, errRecords
			}
			records = records[n:]
		}
	}
	if b.sealed != ended || b.end < st.Start {
		return nil, nil, nil, errRecords
	}
	var along *Cursor
	if tap != nil {
		if along, err = b.Cursor(tap.kind(), tap.From); err != nil {
			return nil, nil, nil, err
		}
	}
	return b, anchor, along, anchor.Ack(st.Acked)
}

// put appends a record whatever the limit says.
func (b *Backlog) put(t FrameType, p []byte) bool {
	switch {
	case t == FrameExit:
		b.seal(p)
		return true
	case len(p) == 0 || t != FrameStdout && t != FrameStderr:
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(p) > 0 {
		g, at := b.space(t)
		n := copy(g.buf[at:], p)
		b.fill(g, t, at, n)
		p = p[n:]
	}
	return true
}
