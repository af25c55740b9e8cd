package jwtauth_test

import (
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"shellagent/jwtauth"
)

func TestWindow(t *testing.T) {
	var w jwtauth.Window
	steps := []struct {
		counter uint64
		ok      bool
	}{
		{0, false}, {1, true}, {1, false}, {3, true}, {2, true}, {2, false},
		{66, true}, {2, false}, {3, false}, {4, true}, {65, true}, {67, true}, {4, false}, {5, true},
		{1000, true}, {936, false}, {937, true}, {937, false}, {1000, false},
		{math.MaxUint64, true}, {math.MaxUint64, false}, {math.MaxUint64 - 63, true}, {math.MaxUint64 - 64, false}, {0, false},
	}
	for i, s := range steps {
		err := w.Accept(s.counter)
		if s.ok && err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		if !s.ok {
			wantReason(t, err, jwtauth.ReasonCounter)
		}
	}
}

// The window agrees with a set that remembers everything.
func TestWindowAgainstModel(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var w jwtauth.Window
		taken := map[uint64]bool{}
		var high uint64
		for range 500 {
			c := high + uint64(rng.IntN(150))
			c -= min(c, uint64(rng.IntN(100)))
			want := c > 0 && !taken[c] && (c > high || high-c < jwtauth.WindowWidth)
			if got := w.Accept(c) == nil; got != want {
				t.Fatalf("counter %d below %d: accepted %v, want %v", c, high, got, want)
			}
			if want {
				taken[c], high = true, max(high, c)
			}
		}
	}
}

func TestWindowTakesEachOnceAtATime(t *testing.T) {
	var w jwtauth.Window
	var taken atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for c := uint64(1); c <= 60; c++ {
				if w.Accept(c) == nil {
					taken.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if taken.Load() != 60 {
		t.Errorf("took %d of 60 counters", taken.Load())
	}
}
