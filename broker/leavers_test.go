package broker

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// What a client had on its way when its program ended is refused by its code,
// before the exit was acknowledged and after; it is nothing for the log, and no
// point against its address.
func TestLateRequestsAreNoAttack(t *testing.T) {
	alice := newTestKey(t)
	a := newTestAgent(t, oneSource(alice))
	s := a.open("debug", alice)
	a.programs()[0].end()
	s.exit()
	a.wantCode("before the acknowledgement", s.stdin(0, "late"), "session_ended")
	a.forget(s.id) // as after the acknowledgement
	for range 2 * freePoints {
		r := a.wantCode("after it", s.stdin(0, "late"), "session_ended")
		if r.Wait != 0 {
			t.Fatalf("the answer is held back for %v", r.Wait)
		}
	}
	if typed := s.program.read(); typed != "" {
		t.Errorf("%q was typed", typed)
	}
	if log := a.log.String(); strings.Contains(log, "refused") {
		t.Errorf("it is logged like an attack:\n%s", log)
	}

	forged := s.stdin(0, "late")
	forged.Token = forged.Token[:strings.LastIndex(forged.Token, ".")+1] + strings.Repeat("A", 86)
	a.wantCode("with a forged token", forged, "unauthorized")
	a.ahead.Store(int64(leaverTime + time.Second))
	a.wantCode("much later", s.stdin(0, "late"), "session_not_found")
	if log := a.log.String(); !strings.Contains(log, "reason=session_unknown") || !strings.Contains(log, "reason=signature") {
		t.Errorf("what proves nothing is not in the log:\n%s", log)
	}
}

// A connection that is lost within a body is not an attempt at anything either.
func TestCutBodiesAreNoAttack(t *testing.T) {
	alice := newTestKey(t)
	a := newTestAgent(t, oneSource(alice))
	c := a.open("debug", alice).stdin(0, "all of it")
	c.Body = io.LimitReader(c.Body, 3)
	a.wantCode("a part", c, "bad_request")
	if log := a.log.String(); strings.Contains(log, "refused") {
		t.Errorf("it is logged like an attack:\n%s", log)
	}
}

func TestLeaversAreBounded(t *testing.T) {
	var l leavers
	now := time.Now()
	for i := range 2 * maxLeavers {
		l.add(fmt.Sprint(i), &client{}, now)
	}
	if len(l.keys) != maxLeavers || len(l.order) != maxLeavers {
		t.Errorf("%d keys, %d in order", len(l.keys), len(l.order))
	}
	l.add("next", &client{}, now.Add(leaverTime))
	if len(l.keys) != 1 || len(l.order) != 1 {
		t.Errorf("%d keys, %d in order, when all but one are old", len(l.keys), len(l.order))
	}
}
