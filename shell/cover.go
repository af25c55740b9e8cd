package shell

import (
	"time"

	exact "shellagent/internal/alarm"
)

const (
	// coverWrite is how long after a covered request the program is given what
	// it brought: the answer has left by then, and nothing that the program does
	// with a key can delay it.
	coverWrite = time.Millisecond
	// coverShow is how long after it the stream gets its chunk: by then a program
	// that echoes has done so.
	coverShow = 1900 * time.Microsecond
	// coverSoon is how soon there is another chunk where the next request is coverRare
	// off or more: a shell that has just ended a program shows its prompt about then.
	// Where requests are less rare it would be more bytes down than up.
	coverSoon = 2 * time.Millisecond
	coverRare = 10 * time.Millisecond
	// coverEvery is how soon there is another chunk where requests are rarer, and
	// maxCoverShows how many of these there are to a request at most: output that comes a
	// little later than an echo need not wait for the next request.
	coverEvery    = 4 * time.Millisecond
	maxCoverShows = 8
	// coverTicks is how many requests may be missing before cover ends, coverLeast
	// how long it is waited at least.
	coverTicks = 8
	coverLeast = 100 * time.Millisecond
	// maxCoverSteps bounds the requests whose steps are still to come; what is
	// beyond has no steps of its own, which a client that sends 32 within two
	// milliseconds did not want anyway.
	maxCoverSteps = 32
)

// cover is keystroke cover as far as it is the agent's: an observer of the wire
// is to see the same after a request with a key as after one without. Both set
// the same alarms, in the same order. It is guarded by the session's lock.
type cover struct {
	alarm  *exact.Alarm // nil while there is none
	writes []time.Time  // when the program is given input, in order
	shows  []time.Time  // when the stream gets a chunk, in order
	until  time.Time    // when cover ends unless there are more requests
}

// takeCovered is takeInput under cover: it takes what follows on and has room,
// and never waits. The lock is held.
func (s *Session) takeCovered(in Stdin, now time.Time) error {
	if err := s.inputError(in); err != nil && (len(in.Data) > 0 || in.EOF || s.ended) {
		return err
	}
	s.input.keepReady()
	if in.Offset <= s.input.next {
		s.queueInput(in)
	}
	s.cover.request(in.Cover, now)
	if s.cover.alarm == nil {
		s.cover.alarm = s.newAlarm()
		s.cover.alarm.Set(s.cover.next())
		go s.keepCover(s.cover.alarm)
	} else if len(s.cover.writes) <= 1 {
		s.cover.alarm.Set(s.cover.next())
	}
	if s.stream != nil {
		s.stream.covered.Store(true)
	}
	return nil
}

func (s *Session) newAlarm() *exact.Alarm {
	if s.cfg.plainAlarm {
		return exact.NewPlain()
	}
	return exact.New()
}

// request notes the steps that follow a request.
func (c *cover) request(tick time.Duration, now time.Time) {
	c.until = now.Add(max(coverTicks*tick, coverLeast))
	if len(c.writes) < maxCoverSteps {
		c.writes = append(c.writes, now.Add(coverWrite))
	}
	first := now.Add(coverShow)
	for len(c.shows) > 0 && !c.shows[len(c.shows)-1].Before(first) {
		c.shows = c.shows[:len(c.shows)-1] // of a request before, which this one follows
	}
	every := max(coverEvery, tick/maxCoverShows)
	for at := time.Duration(0); at <= max(0, tick-every) && len(c.shows) < maxCoverSteps; at += every {
		c.shows = append(c.shows, first.Add(at))
		if at == 0 && tick >= coverRare {
			c.shows = append(c.shows, first.Add(coverSoon))
		}
	}
}

// next is when there is something to do.
func (c *cover) next() time.Time {
	at := c.until
	for _, steps := range [][]time.Time{c.writes, c.shows} {
		if len(steps) > 0 && steps[0].Before(at) {
			at = steps[0]
		}
	}
	return at
}

// due takes the steps whose time has come.
func (c *cover) due(now time.Time) (write, show, over bool) {
	write, c.writes = passed(c.writes, now)
	show, c.shows = passed(c.shows, now)
	return write, show, !now.Before(c.until)
}

// passed returns whether the first of the moments has come, and those that have not.
func passed(steps []time.Time, now time.Time) (bool, []time.Time) {
	n := 0
	for n < len(steps) && !now.Before(steps[n]) {
		n++
	}
	return n > 0, steps[:copy(steps, steps[n:])]
}

// keepCover carries out the steps until cover ends, with a goroutine and a
// descriptor that a session has only while somebody types.
func (s *Session) keepCover(a *exact.Alarm) {
	defer a.Close()
	for a.Wait() {
		s.mu.Lock()
		write, show, over := s.cover.due(time.Now())
		if write {
			s.feedMore()
			s.input.notify()
		}
		if st := s.stream; st != nil && (show || over || s.ended) {
			st.show(!over && !s.ended)
		}
		if over || s.ended {
			s.feedMore()
			s.input.rest()
			s.cover = cover{}
			s.unlock()
			return
		}
		a.Set(s.cover.next())
		s.unlock()
	}
}

// endCover ends cover with the program; the lock is held.
func (s *Session) endCover() {
	if s.cover.alarm != nil {
		s.cover.alarm.Set(time.Now())
	}
}
