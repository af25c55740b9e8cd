package broker

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"shellagent/shell"
)

// refusalLog writes down refusals so that a flood of them does not fill the
// log. The first ones of an address (an IPv6 /64 is one), and its first one for
// each reason, have a line each, at once, with all that is known. What comes on
// top is counted, and told in a line per reason and address every
// [summaryEvery]. An address that stops gets its lines back one by one. Whatever
// has a line is told as an event as well, for the audit trail.
type refusalLog struct {
	log  *slog.Logger
	told func(shell.Event) // gets EventRefusals
	pace *rate.Limiter     // of all lines that are written at once

	mu      sync.Mutex
	entries map[netip.Prefix]*refusalEntry
	timer   *time.Timer // runs while there are entries
	closed  bool
}

// refusalEntry is what an address still has and what it has left untold.
type refusalEntry struct {
	lines  int
	remote netip.Addr // the last one of the range
	// untold has every reason that was met, and how often it was left out.
	untold map[shell.Reason]uint64
}

const (
	linesAtOnce  = 10
	summaryEvery = 10 * time.Second
	// maxRefusers is how many addresses are told apart; the others are counted
	// as one without a name.
	maxRefusers = 4096
	// maxSummaries is how many lines of counts are written at a time; what is
	// over that is counted without its address.
	maxSummaries = 200

	linesPerSecond = 50
	linesBurst     = 500
)

func newRefusalLog(log *slog.Logger, told func(shell.Event)) *refusalLog {
	return &refusalLog{
		log: log, told: told, pace: rate.NewLimiter(linesPerSecond, linesBurst),
		entries: make(map[netip.Prefix]*refusalEntry),
	}
}

// add writes refusals down, or counts them: Count of e's Reason and Remote.
// attrs follow the reason in a line that is written at once; they name the
// remote themselves.
func (l *refusalLog) add(level slog.Level, e shell.Event, attrs ...any) {
	if !l.admit(e.Reason, e.Remote, e.Count) {
		return
	}
	l.log.Log(context.Background(), level, "refused", append([]any{"reason", e.Reason}, attrs...)...)
	e.Kind = shell.EventRefusals
	l.told(e)
}

// admit says whether a line is to be written now; otherwise it has counted.
func (l *refusalLog) admit(reason shell.Reason, remote netip.Addr, n uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return true
	}
	e := l.entry(remote)
	left, met := e.untold[reason]
	if (e.lines > 0 || !met) && l.pace.Allow() {
		e.lines = max(e.lines-1, 0)
		e.untold[reason] = left
		return true
	}
	e.untold[reason] = left + n
	return false
}

func (l *refusalLog) entry(remote netip.Addr) *refusalEntry {
	key := Neighbourhood(remote)
	e := l.entries[key]
	if e == nil && len(l.entries) >= maxRefusers {
		remote, key = netip.Addr{}, netip.Prefix{}
		e = l.entries[key]
	}
	if e == nil {
		e = &refusalEntry{lines: linesAtOnce, untold: make(map[shell.Reason]uint64)}
		l.entries[key] = e
	}
	e.remote = remote
	if l.timer == nil {
		l.timer = time.AfterFunc(summaryEvery, l.tick)
	}
	return e
}

// tick tells what was counted and forgets who was quiet for long.
func (l *refusalLog) tick() {
	l.mu.Lock()
	all := l.takeUntold()
	if l.timer != nil && len(l.entries) > 0 {
		l.timer.Reset(summaryEvery)
	} else {
		l.timer = nil
	}
	l.mu.Unlock()
	l.tell(all)
}

// untoldCount is a line to be written.
type untoldCount struct {
	reason shell.Reason
	remote netip.Addr
	count  uint64
}

func (l *refusalLog) takeUntold() []untoldCount {
	var all []untoldCount
	rest := make(map[shell.Reason]uint64)
	for key, e := range l.entries {
		for reason, n := range e.untold {
			if n == 0 {
				continue
			}
			if len(all) < maxSummaries {
				all = append(all, untoldCount{reason, e.remote, n})
			} else {
				rest[reason] += n
			}
			e.untold[reason] = 0
		}
		if e.lines < linesAtOnce {
			e.lines++
		} else {
			delete(l.entries, key)
		}
	}
	for reason, n := range rest {
		all = append(all, untoldCount{reason, netip.Addr{}, n})
	}
	return all
}

func (l *refusalLog) tell(all []untoldCount) {
	for _, u := range all {
		l.told(shell.Event{Kind: shell.EventRefusals, Reason: u.reason, Remote: u.remote, Count: u.count})
		if u.remote.IsValid() {
			l.log.Info("refused", "reason", u.reason, "remote", u.remote, "count", u.count, "within", summaryEvery)
		} else {
			l.log.Info("refused", "reason", u.reason, "count", u.count, "within", summaryEvery)
		}
	}
}

// close tells what was counted; what comes afterwards is written at once.
func (l *refusalLog) close() {
	l.mu.Lock()
	l.closed = true
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
	all := l.takeUntold()
	l.mu.Unlock()
	l.tell(all)
}
