package record

import (
	"testing"
	"time"
)

func TestSample(t *testing.T) {
	s := sample{limit: 100}
	for i, c := range []struct {
		at     time.Duration
		n      int
		keep   int
		before int64
	}{
		{0, 60, 60, 0},
		{500 * time.Millisecond, 60, 40, 0},
		{900 * time.Millisecond, 60, 0, 0},
		{1100 * time.Millisecond, 60, 60, 80},
		{5 * time.Second, 200, 100, 0},
		{9 * time.Second, 1, 1, 100},
	} {
		if keep, before := s.keep(c.at, c.n); keep != c.keep || before != c.before {
			t.Errorf("%d: kept %d, %d left out before; want %d, %d", i, keep, before, c.keep, c.before)
		}
	}
	all := sample{}
	if keep, _ := all.keep(0, 1<<30); keep != 1<<30 {
		t.Error("without a limit something is left out")
	}
}
