package broker

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"time"
)

var (
	flooder  = netip.MustParseAddr("192.0.2.1")
	operator = netip.MustParseAddr("198.51.100.7")
)

// waitQueued blocks until n callers wait.
func waitQueued(t *testing.T, turns *Turns, n int) {
	t.Helper()
	eventually(t, "callers to queue", func() bool {
		turns.mu.Lock()
		defer turns.mu.Unlock()
		have := len(turns.urgent)
		for _, q := range turns.queues {
			have += len(q.waiting)
		}
		return have == n
	})
}

func TestTurnsAreFairBetweenAddresses(t *testing.T) {
	turns := NewTurns(1, 0)
	if err := turns.Take(t.Context(), flooder, false); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var order []string
	var wg sync.WaitGroup
	take := func(name string, from netip.Addr, urgent bool) {
		wg.Go(func() {
			if err := turns.Take(t.Context(), from, urgent); err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			order = append(order, name)
			mu.Unlock()
			turns.Done()
		})
	}
	for i := range 50 {
		take("flood", flooder, false)
		waitQueued(t, turns, i+1)
	}
	take("operator", operator, false)
	waitQueued(t, turns, 51)
	take("session", flooder, true)
	waitQueued(t, turns, 52)
	turns.Done()
	wg.Wait()
	if order[0] != "session" {
		t.Errorf("first turn went to %q, want the live session", order[0])
	}
	if order[1] != "operator" && order[2] != "operator" {
		t.Errorf("operator waited behind the flood: %q", order[:4])
	}
}

func TestTurnsReservedForSessions(t *testing.T) {
	turns := NewTurns(2, 1)
	if err := turns.Take(t.Context(), flooder, false); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := turns.Take(short, flooder, false); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("the reserved turn was given to a stranger: %v", err)
	}
	if err := turns.Take(t.Context(), flooder, true); err != nil {
		t.Fatal(err)
	}
	turns.Done()
	turns.Done()
	if turns.free != 2 || len(turns.queues) != 0 || len(turns.ring) != 0 {
		t.Errorf("after all turns: free %d, queues %d, ring %d", turns.free, len(turns.queues), len(turns.ring))
	}
}

func TestTurnsAreNeverLostOrDoubled(t *testing.T) {
	turns := NewTurns(3, 1)
	var mu sync.Mutex
	inside, most := 0, 0
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%7)*time.Millisecond)
			defer cancel()
			from := netip.AddrFrom4([4]byte{10, 0, 0, byte(i % 5)})
			for range 20 {
				if turns.Take(ctx, from, i%11 == 0) != nil {
					return
				}
				mu.Lock()
				inside++
				most = max(most, inside)
				mu.Unlock()
				mu.Lock()
				inside--
				mu.Unlock()
				turns.Done()
			}
		})
	}
	wg.Wait()
	if most > 3 || turns.free != 3 || len(turns.queues)+len(turns.ring)+len(turns.urgent) != 0 {
		t.Errorf("at most %d inside, %d free, %d queues", most, turns.free, len(turns.queues))
	}
}

func TestNeighbourhood(t *testing.T) {
	same := [][2]string{
		{"192.0.2.1", "::ffff:192.0.2.1"},
		{"2001:db8:1:2::1", "2001:db8:1:2:ffff::9"},
		{"fe80::1%eth0", "fe80::2%eth1"},
	}
	for _, pair := range same {
		if a, b := Neighbourhood(netip.MustParseAddr(pair[0])), Neighbourhood(netip.MustParseAddr(pair[1])); a != b {
			t.Errorf("%s and %s count as %v and %v", pair[0], pair[1], a, b)
		}
	}
	if Neighbourhood(flooder) == Neighbourhood(operator) {
		t.Error("two addresses count as one")
	}
}
