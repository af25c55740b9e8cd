package e2e

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"
	"unicode"

	"shellagent/shell"
)

// provoked is an attack that was made, to be looked for in the log.
type provoked struct {
	name, from string
	reason     shell.Reason
}

// TestEveryRefusal provokes every row of the table, and looks at it from three
// sides: what the client is told, what the log says, and what is counted.
func TestEveryRefusal(t *testing.T) {
	a := newVictim(t)
	var last []shell.Refusal
	var all []provoked
	for _, row := range shell.Refusals() {
		switch _, excused := unprovoked[row.Reason]; {
		case excused != (len(attacks[row.Reason]) == 0):
			t.Errorf("%s: a row needs an attack, or a reason why there is none", row.Reason)
		case excused:
		case row.Reason == shell.ReasonStopping || row.Reason == shell.ReasonUnavailable:
			last = append(last, row) // the agent is not as before after these
		default:
			all = append(all, a.provoke(t, row, len(all))...)
		}
	}
	a.wantTold(t, all)
	for _, row := range last {
		done := a.provoke(t, row, len(all))
		all = append(all, done...)
		a.wantTold(t, done)
	}
}

// provoke makes the attacks of a row, each from an address of its own.
func (a *victim) provoke(t *testing.T, row shell.Refusal, before int) (all []provoked) {
	rows := maps.Clone(attacks[row.Reason])
	maps.Copy(rows, attacksOnMAC[row.Reason])
	for name, do := range rows {
		place := before + len(all)
		at := *a
		at.attacker = a.at(fmt.Sprintf("127.0.%d.%d", 10+place/200, 1+place%200))
		name = string(row.Reason) + "/" + name
		t.Run(name, func(t *testing.T) {
			at.t = t
			at.want(row, do(&at))
		})
		all = append(all, provoked{name, at.from, row.Reason})
	}
	return all
}

// want looks at what the client was told.
func (a *victim) want(row shell.Refusal, got answer) {
	a.t.Helper()
	if got.err != nil || got.status != row.Status || got.code != row.Code {
		a.t.Errorf("the client was told %v, want %d %s", got, row.Status, row.Code)
	}
	if row.Status == 401 && !got.closed && got.body != nil {
		a.t.Errorf("%v left its connection open", got)
	}
	for _, c := range got.detail {
		if !unicode.IsPrint(c) {
			a.t.Errorf("the detail %q could move a cursor", got.detail)
		}
	}
}

// wantTold looks at the log and the metrics. The front reports what it refused
// once a second.
func (a *victim) wantTold(t *testing.T, all []provoked) {
	t.Helper()
	missing := func() string {
		log, metrics := a.h.log.String(), scrape(t, a.metrics)
		count := make(map[shell.Reason]int)
		for _, p := range all {
			if p.reason.Ordinary() {
				if logged(log, p) || refusals(metrics, p.reason) != 0 {
					t.Errorf("%s is told as if it were an attack", p.name)
				}
				continue
			}
			count[p.reason]++
			if !logged(log, p) {
				return "line of " + p.name + " from " + p.from
			}
			if n := refusals(metrics, p.reason); n < count[p.reason] {
				return fmt.Sprintf("count of %s, which is %d", p.reason, n)
			}
		}
		return ""
	}
	var last string
	if !eventually(5*time.Second, func() bool { last = missing(); return last == "" }) {
		t.Errorf("there is no %s", last)
	}
}

func logged(log string, p provoked) bool {
	for line := range strings.Lines(log) {
		if strings.Contains(line, "msg=refused reason="+string(p.reason)+" ") && strings.Contains(line+" ", "remote="+p.from+":") ||
			strings.Contains(line, "msg=refused reason="+string(p.reason)+" remote="+p.from+" ") {
			return true
		}
	}
	return false
}

// refusals reads the metric of a reason.
func refusals(metrics string, reason shell.Reason) (n int) {
	for line := range strings.Lines(metrics) {
		if rest, ok := strings.CutPrefix(line, fmt.Sprintf("shellagent_refusals_total{reason=%q} ", reason)); ok {
			_, _ = fmt.Sscan(rest, &n)
		}
	}
	return n
}
