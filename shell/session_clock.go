package shell

import (
	"fmt"
	"time"
)

const (
	// silence is how long an attached client may say nothing; it acknowledges
	// at least every 10 seconds.
	silence = 25 * time.Second
	// retention is how long at least an exit is kept for somebody to hear it.
	retention = 60 * time.Second
	// ownLoss is how soon the agent finds out that a connection was lost by its
	// own doing and not by the client's: see [Session.AwaitClient].
	ownLoss = 2 * time.Second
)

// durationWarnings are how long before the end of MaxDuration a notice is sent.
var durationWarnings = [...]time.Duration{5 * time.Minute, time.Minute}

// alarm finds out which moments have come and which is the next.
type alarm struct{ now, next time.Time }

// at says whether t has come.
func (a *alarm) at(t time.Time) bool {
	if !a.now.Before(t) {
		return true
	}
	if a.next.IsZero() || t.Before(a.next) {
		a.next = t
	}
	return false
}

// tick is the session's only timer.
func (s *Session) tick() {
	s.mu.Lock()
	defer s.unlock()
	s.armed = time.Time{}
	s.pass(time.Now())
}

// pass does everything whose time has come and sets the timer for the next; the
// lock is held. Keystrokes and output only note their time: a timer that fires
// too early because of them finds nothing to do and is set again.
func (s *Session) pass(now time.Time) {
	if s.dropped {
		return
	}
	a := alarm{now: now}
	s.passAttached(&a)
	if !s.ended {
		s.passLinger(&a)
		s.passIdle(&a)
		s.passDuration(&a)
	}
	if s.finished && a.at(s.lastProgress.Add(max(s.grant.Limits.Linger, retention))) {
		s.drop()
		return
	}
	if a.next.IsZero() || !s.armed.IsZero() && !a.next.Before(s.armed) {
		return
	}
	s.armed = a.next
	if s.timer == nil {
		s.timer = time.AfterFunc(a.next.Sub(now), s.tick)
	} else {
		s.timer.Reset(a.next.Sub(now))
	}
}

func (s *Session) passAttached(a *alarm) {
	if s.stream == nil {
		return
	}
	if a.at(s.lastHeard.Add(silence)) {
		s.part(nil, a.now)
		return
	}
	if a.at(s.keepaliveAt) {
		if !s.stream.covered.Load() { // its chunks are that, too
			s.stream.raise(dueKeepalive)
		}
		s.keepaliveAt = nextKeepalive(a.now)
		a.at(s.keepaliveAt)
	}
}

// passLinger hangs up a session that nobody comes back to. A client whose
// requests still arrive is on its way. However short the linger, it is not over
// before the agent knows whose doing the loss was.
func (s *Session) passLinger(a *alarm) {
	if s.stream != nil || s.isHungUp() {
		return
	}
	from, linger := latest(s.detachedAt, s.lastHeard), max(s.grant.Limits.Linger, ownLoss)
	if s.awaited {
		linger = max(linger, silence)
	}
	if a.at(from.Add(linger)) {
		s.limitReached("linger", "nobody came back to it")
	}
}

func (s *Session) passIdle(a *alarm) {
	limit := s.grant.Limits.IdleTimeout
	if limit <= 0 || s.isHungUp() {
		return
	}
	last := latest(s.lastInput, s.started.Add(time.Duration(s.lastOutput.Load())))
	if a.at(last.Add(limit)) {
		s.notify(Notice{Code: "idle", Text: fmt.Sprintf("this session ends: nothing was typed or shown for %v", limit)})
		s.limitReached("idle_timeout", "idle timeout")
	}
}

func (s *Session) passDuration(a *alarm) {
	limit := s.grant.Limits.MaxDuration
	if limit <= 0 || s.isHungUp() {
		return
	}
	end := s.started.Add(limit)
	if a.at(end) {
		s.notify(Notice{Code: "max_duration", Text: fmt.Sprintf("this session ends: it may last %v", limit)})
		s.limitReached("max_duration", "maximum duration")
		return
	}
	warn := false
	for s.warned < len(durationWarnings) && a.at(end.Add(-durationWarnings[s.warned])) {
		s.warned++
		warn = true
	}
	if warn {
		left := end.Sub(a.now).Round(time.Second)
		s.notify(Notice{Code: "max_duration", Text: fmt.Sprintf("this session ends in %v: it may last %v", left, limit)})
	}
}

// limitReached ends the session for a limit and tells which; the lock is held.
func (s *Session) limitReached(limit, reason string) {
	s.hangUp(reason)
	e := s.event(EventLimit)
	e.Detail = &Detail{Why: limit}
	s.after.events = append(s.after.events, e)
}

// skipWarnings leaves out the notices that a short session would begin with.
func (s *Session) skipWarnings() {
	limit := s.grant.Limits.MaxDuration
	for s.warned < len(durationWarnings) && limit <= durationWarnings[s.warned] {
		s.warned++
	}
}

func latest(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}
