package broker

import (
	"encoding/binary"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"shellagent/shell"
)

func newTestRefusalLog(t *testing.T) (*refusalLog, *lockedBuffer) {
	var out lockedBuffer
	l := newRefusalLog(slog.New(slog.NewTextHandler(&out, nil)), func(shell.Event) {})
	l.pace = rate.NewLimiter(rate.Inf, 0)
	t.Cleanup(l.close)
	return l, &out
}

func refusalOf(reason shell.Reason, remote netip.Addr, n uint64) shell.Event {
	return shell.Event{Kind: shell.EventRefused, Reason: reason, Remote: remote, Count: n}
}

func lines(out *lockedBuffer) []string { return strings.Split(strings.TrimSpace(out.String()), "\n") }

func TestRefusalsOfAFloodAreCounted(t *testing.T) {
	l, out := newTestRefusalLog(t)
	for range 1000 {
		l.add(slog.LevelInfo, refusalOf(shell.ReasonSignature, flooder, 1), "remote", flooder)
	}
	for range 5 {
		l.add(slog.LevelInfo, refusalOf(shell.ReasonClaims, flooder, 3), "remote", flooder)
	}
	l.add(slog.LevelInfo, refusalOf(shell.ReasonStale, netip.MustParseAddr("192.0.2.77"), 1), "remote", "192.0.2.77:1")
	// The first for each reason among them.
	if n := len(lines(out)); n != linesAtOnce+2 {
		t.Errorf("%d lines at once:\n%s", n, out)
	}
	l.tick()
	got := out.String()
	for _, want := range []string{
		"msg=refused reason=signature remote=" + flooder.String() + " count=990 within=10s\n",
		"msg=refused reason=claims remote=" + flooder.String() + " count=12 within=10s\n",
		"msg=refused reason=stale remote=192.0.2.77:1\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the log lacks %q:\n%s", want, got)
		}
	}
	l.tick()
	if again := out.String(); again != got {
		t.Errorf("told twice: %s", strings.TrimPrefix(again, got))
	}
}

func TestQuietAddressesAreForgotten(t *testing.T) {
	l, _ := newTestRefusalLog(t)
	for range 100 {
		l.add(slog.LevelInfo, refusalOf(shell.ReasonSignature, flooder, 1))
	}
	for i := 0; len(l.entries) > 0; i++ {
		if i > linesAtOnce+1 {
			t.Fatalf("still there after %d intervals", i)
		}
		l.tick()
	}
	if l.timer != nil {
		t.Error("the timer runs for nobody")
	}
}

func TestRefusalLogIsBounded(t *testing.T) {
	l, out := newTestRefusalLog(t)
	for i := range uint32(maxRefusers + 1000) {
		from := netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, 10<<24|i)))
		l.add(slog.LevelInfo, refusalOf(shell.ReasonSignature, from, 1), "remote", from)
	}
	if n := len(l.entries); n > maxRefusers+1 {
		t.Errorf("%d addresses are told apart", n)
	}
	l.pace = rate.NewLimiter(0, 0)
	before := len(lines(out))
	for i := range uint32(1000) {
		l.add(slog.LevelInfo, refusalOf(shell.ReasonSignature, netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, 10<<24|i))), 1))
	}
	l.close()
	if n := len(lines(out)) - before; n != maxSummaries+1 {
		t.Errorf("%d lines of counts", n)
	}
	if last := lines(out)[len(lines(out))-1]; strings.Contains(last, "remote=") || !strings.Contains(last, "count=") {
		t.Errorf("the rest is told as %s", last)
	}
}

// The log ends with the agent, and nothing is lost.
func TestClosingTellsWhatWasCounted(t *testing.T) {
	l, out := newTestRefusalLog(t)
	for range linesAtOnce + 1 {
		l.add(slog.LevelInfo, refusalOf(shell.ReasonReplay, flooder, 1), "remote", flooder)
	}
	l.close()
	if !strings.Contains(out.String(), "count=1 ") {
		t.Error("the last one was not told")
	}
	l.add(slog.LevelInfo, refusalOf(shell.ReasonStopping, flooder, 1))
	if !strings.Contains(out.String(), "reason=stopping") {
		t.Error("a refusal after the end is lost")
	}
}

// What a program shows is told frame by frame, to many who watch, and is not logged.
func TestOutputIsToldWithoutALogger(t *testing.T) {
	b := &Broker{log: slog.New(slog.DiscardHandler)}
	e := shell.Event{Kind: shell.EventOutput, Time: time.Now(), Session: "s", Output: 1}
	if n := testing.AllocsPerRun(100, func() { b.sessionEvent(e) }); n != 0 {
		t.Errorf("%v allocations for a frame", n)
	}
}
