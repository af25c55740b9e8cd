package shell

import (
	"encoding/json"
	"net/netip"
	"slices"
	"time"
)

// maxSessionKeys is how many keys of a session are remembered, so that the
// clients of the earlier ones are told that they were taken over.
const maxSessionKeys = 8

// maxNotices is how many notices wait for a client.
const maxNotices = 8

// Attach connects the client with the session key kid to the output from
// offset from on. A stream that is already attached ends; a client that finds
// its connection dead comes back this way, from any address. It is refused with
// [ReasonTakenOver], [ReasonSessionOwner], [ReasonSessionEnded] when nothing is
// kept any more, and [ReasonOutput] when the offset is not kept.
func (s *Session) Attach(kid string, remote netip.Addr, from uint64) (*Stream, error) {
	s.mu.Lock()
	defer s.unlock()
	if err := s.owns(kid); err != nil {
		return nil, err
	}
	return s.attach(remote, from, nil)
}

// TakeOver connects a client that proved the identity key, with a session key
// of its own: from now on only that key may write. An attached client gets the
// notice "taken_over", and its end. The stream begins up to [RedrawTail] bytes
// before what was acknowledged; [Stream.From] tells. A key that already opened
// another session is refused with [ReasonSessionConflict].
func (s *Session) TakeOver(kid string, remote netip.Addr) (*Stream, error) {
	s.mu.Lock()
	owner := s.owner
	s.mu.Unlock()
	if owner != nil && !owner.claim(kid, s) {
		return nil, Deny(ReasonSessionConflict, nil)
	}
	s.mu.Lock()
	defer s.unlock()
	if s.dropped {
		s.after.unclaim = kid
		return nil, Deny(ReasonSessionUnknown, nil)
	}
	var farewell []byte
	if kid != s.kids[len(s.kids)-1] {
		farewell = encodeNotice(Notice{Code: "taken_over", Text: "another client has taken this session over"})
		s.promote(kid)
	}
	return s.attach(remote, s.backlog.redraw(), farewell)
}

// promote makes kid the key that may write. Requests under the key before it
// that still wait are refused from here on.
func (s *Session) promote(kid string) {
	s.kids = slices.DeleteFunc(s.kids, func(k string) bool { return k == kid })
	s.kids = append(s.kids, kid)
	if len(s.kids) > maxSessionKeys {
		s.after.unclaim = s.kids[0]
		s.kids = slices.Delete(s.kids, 0, 1)
	}
	s.seq = 0
	s.input.notify()
}

// attach makes a stream the session's; the lock is held.
func (s *Session) attach(remote netip.Addr, from uint64, farewell []byte) (*Stream, error) {
	c, err := s.backlog.Cursor(following, from)
	if err != nil {
		return nil, Deny(ReasonOutput, err)
	}
	now := time.Now()
	if s.stream != nil {
		s.part(farewell, now)
	}
	s.stream = &Stream{session: s, cursor: c, from: from, end: s.backlog.End(), stdin: s.input.next}
	if s.terminal() {
		s.backlog.setNarrow(drawnWindow)
		s.stream.gather, s.stream.window = &gatherer{}, &window{size: drawnWindow}
	}
	s.remote = remote
	s.awaited = false
	s.lastHeard = now
	s.keepaliveAt = nextKeepalive(now)
	if len(s.notices) > 0 {
		s.stream.raise(dueNotice)
	}
	s.after.events = append(s.after.events, s.event(EventAttached))
	s.pass(now)
	return s.stream, nil
}

// part ends the attached stream; the lock is held.
func (s *Session) part(farewell []byte, now time.Time) {
	st := s.stream
	s.stream = nil
	s.backlog.setNarrow(0)
	s.detachedAt = now
	st.farewell = farewell
	st.raise(dueEnd)
	st.cursor.Close()
	s.after.ended = st.onEnd
	s.after.events = append(s.after.events, s.event(EventDetached))
	s.after.changed = true
}

// leave detaches a stream whose client is gone, unless another has its place.
func (s *Session) leave(st *Stream) {
	s.mu.Lock()
	defer s.unlock()
	if s.stream != st {
		return
	}
	now := time.Now()
	s.part(nil, now)
	s.pass(now)
}

// owns says whether the key may write; the lock is held.
func (s *Session) owns(kid string) error {
	switch i := slices.Index(s.kids, kid); {
	case i < 0 && s.dropped:
		return Deny(ReasonSessionUnknown, nil)
	case s.dropped:
		return Deny(ReasonSessionEnded, nil)
	case i < 0:
		return Deny(ReasonSessionOwner, nil)
	case i < len(s.kids)-1:
		return Deny(ReasonTakenOver, nil)
	}
	return nil
}

// hear notes a verified request of the client and takes its acknowledgement; 0
// is none. The lock is held.
func (s *Session) hear(kid string, ack uint64, now time.Time) error {
	if err := s.owns(kid); err != nil {
		return err
	}
	s.lastHeard = now
	if ack == 0 {
		return nil
	}
	news, all, err := s.anchor.ack(ack)
	if err != nil {
		return Deny(ReasonOutput, err)
	}
	if news {
		s.lastProgress = now
		if st := s.stream; st != nil && st.window != nil && st.window.acknowledged(ack, s.backlog.tookPressed, now) {
			s.backlog.setNarrow(st.window.size)
		}
	}
	if all && s.ended {
		s.told(now)
	}
	return nil
}

// told ends what is left of the session once the exit is acknowledged.
func (s *Session) told(now time.Time) {
	if s.stream != nil {
		s.part(nil, now)
	}
	if s.finished {
		s.drop()
	}
}

// drop forgets the session; the lock is held, and it has finished.
func (s *Session) drop() {
	if s.dropped {
		return
	}
	s.dropped = true
	if s.timer != nil {
		s.timer.Stop()
	}
	if s.stream != nil {
		s.part(nil, time.Now())
	}
	s.anchor.Close()
	s.backlog.Close()
	s.input.discard()
	s.notices = nil
	s.after.drop = true
}

// Notify shows a notice to the attached client, or to the next one. Of more
// than eight that wait the oldest are lost.
func (s *Session) Notify(n Notice) {
	s.mu.Lock()
	defer s.unlock()
	s.notify(n)
}

func (s *Session) notify(n Notice) {
	if s.ended {
		return // the exit says it all, and nothing comes after it
	}
	if len(s.notices) == maxNotices {
		s.notices = slices.Delete(s.notices, 0, 1)
	}
	s.notices = append(s.notices, encodeNotice(n))
	if s.stream != nil {
		s.stream.raise(dueNotice)
	}
}

func encodeNotice(n Notice) []byte {
	data, err := json.Marshal(n)
	if err != nil { // two strings
		return []byte("{}")
	}
	return data
}

// HangUp ends the program and everything it started: HUP, grace, KILL. reason
// is told with the exit; the first one stands. It returns at once, and does
// nothing once the exit is appended.
func (s *Session) HangUp(reason string) {
	s.mu.Lock()
	defer s.unlock()
	s.hangUp(reason)
}

// cutGrace is what a program has between HUP and KILL when its session is cut.
const cutGrace = 250 * time.Millisecond

// Cut is [Session.HangUp] for a session that may not go on for as long as its
// program would like: KILL follows after 250 ms, also when it was hung up before.
func (s *Session) Cut(reason string) {
	s.mu.Lock()
	defer s.unlock()
	if !s.ended {
		s.hangUp(reason)
		s.after.cut = true
	}
}

func (s *Session) hangUp(reason string) {
	if s.ended || s.isHungUp() {
		return
	}
	s.reason = reason[:min(len(reason), 200)]
	s.after.hangUp = true
	close(s.hung)
}

// Regrant puts a new grant in force. A running program keeps its user,
// environment and directory; the limits apply at once.
func (s *Session) Regrant(g Grant) {
	s.mu.Lock()
	defer s.unlock()
	if s.grant.Limits.MaxDuration != g.Limits.MaxDuration {
		s.warned = 0
	}
	s.grant = g
	s.pass(time.Now())
}
