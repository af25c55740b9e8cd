package thrift

import (
	"context"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemoryIsGivenBackOnceAfterABusyTime(t *testing.T) {
	var k keeper
	allocs := uint64(0)
	for i, c := range []struct {
		more uint64
		due  bool
	}{
		{100 << 20, false}, // it is busy
		{50 << 20, false},
		{1 << 10, true}, // and now it is not
		{1 << 10, false},
		{256 << 10, false},
		{256 << 10, false},
		{256 << 10, false},
		{256 << 10, true}, // many quiet looks have come to something
		{1 << 10, false},
	} {
		allocs += c.more
		if got := k.due(allocs, 1<<20, false); got != c.due {
			t.Errorf("look %d: %v", i, got)
		}
	}
}

func TestMuchMemoryIsLookedThroughMoreSeldom(t *testing.T) {
	k := keeper{}
	looks := 0
	for allocs := uint64(1 << 20); allocs <= 64<<20; allocs += 1 << 20 {
		if k.due(allocs, 64<<20, false) {
			looks++
		}
	}
	if looks != 8 {
		t.Errorf("64 MiB in use were looked through %d times for 64 MiB allocated, want 8", looks)
	}
}

func TestRunEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	Run(ctx, &Typing{})
}
