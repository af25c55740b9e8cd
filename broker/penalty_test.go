package broker

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"shellagent/shell"
)

// testClock is a clock that a test sets.
type testClock struct{ t time.Time }

func (c *testClock) now() time.Time          { return c.t }
func (c *testClock) advance(d time.Duration) { c.t = c.t.Add(d) }

func newTestClock() *testClock { return &testClock{time.Unix(1_700_000_000, 0)} }

func TestPenaltiesGrowAndLapse(t *testing.T) {
	clock := newTestClock()
	p := NewPenalties(clock.now)
	for i := range freePoints {
		if wait := p.Add(flooder, 1); wait != 0 {
			t.Fatalf("the refusal number %d waits %v", i+1, wait)
		}
	}
	last := time.Duration(0)
	for range 6 {
		wait := p.Add(flooder, 1)
		if wait <= last {
			t.Errorf("%v after %v", wait, last)
		}
		last = wait
	}
	if last != shell.MaxWait {
		t.Errorf("the wait grew to %v, not to %v", last, shell.MaxWait)
	}
	// Whatever came in between, half a minute later the address is at its start.
	p.Add(flooder, 1<<63)
	clock.advance((mostPoints - freePoints + 1) * pointLapses)
	if wait := p.Add(flooder, 1); wait != 0 {
		t.Errorf("waits %v after it was quiet", wait)
	}
}

func TestPenaltiesOfNeighbours(t *testing.T) {
	p := NewPenalties(newTestClock().now)
	for _, c := range []struct {
		bad, other string
		same       bool
	}{
		{"192.0.2.1", "192.0.2.2", false},
		{"192.0.2.9", "::ffff:192.0.2.9", true},
		{"2001:db8::1", "2001:db8::ffff:1", true},
		{"2001:db8:1::1", "2001:db8:1:1::1", false},
		{"fe80::1%eth0", "fe80::2%eth1", true},
	} {
		p.Add(netip.MustParseAddr(c.bad), mostPoints)
		if waits := p.Add(netip.MustParseAddr(c.other), 1) > 0; waits != c.same {
			t.Errorf("%s waits for what %s did: %v", c.other, c.bad, waits)
		}
	}
}

func TestPenaltiesAreBounded(t *testing.T) {
	p := NewPenalties(newTestClock().now)
	p.Add(flooder, mostPoints)
	for i := range uint32(2 * maxPenalties) {
		p.Add(netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, 10<<24|i))), 1)
	}
	if n := len(p.points); n != maxPenalties {
		t.Errorf("%d addresses are remembered", n)
	}
	if p.Add(flooder, 1) == 0 {
		t.Error("the worst address was forgotten for ones with a single point")
	}
}

func TestCrowd(t *testing.T) {
	c := newCrowd[netip.Addr](2, 3)
	other := netip.MustParseAddr("192.0.2.77")
	for i, ask := range []struct {
		from netip.Addr
		want bool
	}{{flooder, true}, {flooder, true}, {flooder, false}, {other, true}, {other, false}} {
		if got := c.enter(ask.from); got != ask.want {
			t.Errorf("enter number %d: %v", i+1, got)
		}
	}
	for _, from := range []netip.Addr{flooder, flooder, other} {
		c.leave(from)
	}
	if len(c.of) != 0 || c.now != 0 {
		t.Errorf("an empty crowd holds %v, %d", c.of, c.now)
	}
	if new(crowd[netip.Addr]).enter(flooder) {
		t.Error("the zero crowd lets somebody in")
	}
}

// An address has against it after an upgrade what it had before, less what lapsed
// meanwhile.
func TestPenaltiesCrossAnUpgrade(t *testing.T) {
	clock := newTestClock()
	before := NewPenalties(clock.now)
	before.Add(flooder, 1<<63)
	before.Add(netip.Addr{}, 5) // many, who could not be told apart
	forgiven := netip.MustParseAddr("2001:db8::1")
	before.Add(forgiven, 1)
	state := before.State()
	if err := CheckPenalties(state); err != nil || len(state) != 2 {
		t.Fatalf("%v: %v", state, err)
	}
	clock.advance(pointLapses)
	after := NewPenalties(clock.now)
	after.Restore(state, pointLapses)
	if got, want := after.Add(flooder, 1), before.Add(flooder, 1); got != want || got < shell.MaxWait/2 {
		t.Errorf("the next refusal waits %v, without the upgrade %v", got, want)
	}
	if left := after.State(); len(left) != 1 {
		t.Errorf("left are %v", left)
	}
	for name, bad := range map[string][]PenaltyState{
		"nobody's":  {{Points: 1}},
		"a part":    {{From: netip.PrefixFrom(forgiven, 64), Points: 1}},
		"none":      {{From: netip.PrefixFrom(forgiven, 128)}},
		"too many":  {{From: netip.PrefixFrom(forgiven, 128), Points: mostPoints + 1}},
		"addresses": make([]PenaltyState, maxPenalties+1),
	} {
		if CheckPenalties(bad) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
