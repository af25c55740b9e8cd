package metrics

import (
	"math"
	"slices"
	"sync/atomic"
)

// counter only grows. It is safe for concurrent use.
type counter struct {
	*family
	labels []string // their values
	n      atomic.Uint64
}

func newCounter(name, help string) *counter {
	return &counter{family: ours(kindCounter, name, help)}
}

func (c *counter) inc()         { c.n.Add(1) }
func (c *counter) add(n uint64) { c.n.Add(n) }

func (c *counter) collect(s *scrape) { s.one(c.family, float64(c.n.Load()), c.labels...) }

// gauge goes up and down. It is safe for concurrent use.
type gauge struct {
	*family
	labels []string // their values
	bits   atomic.Uint64
}

func newGauge(name, help string) *gauge {
	return &gauge{family: ours(kindGauge, name, help)}
}

func (g *gauge) set(v float64) { g.bits.Store(math.Float64bits(v)) }
func (g *gauge) add(v float64) { addFloat(&g.bits, v) }

func (g *gauge) collect(s *scrape) { s.one(g.family, math.Float64frombits(g.bits.Load()), g.labels...) }

// addFloat adds to the number whose bits an integer holds.
func addFloat(bits *atomic.Uint64, v float64) {
	for {
		old := bits.Load()
		if bits.CompareAndSwap(old, math.Float64bits(math.Float64frombits(old)+v)) {
			return
		}
	}
}

// histogram counts values by size. It is safe for concurrent use; a scrape in the
// middle of an observation may lack its part of the sum.
type histogram struct {
	*family
	bounds []float64       // inclusive, ascending
	counts []atomic.Uint64 // one more than bounds: what is above the last
	sum    atomic.Uint64   // a float's bits
}

func newHistogram(name, help string, bounds []float64) *histogram {
	return &histogram{family: ours(kindHistogram, name, help), bounds: bounds, counts: make([]atomic.Uint64, len(bounds)+1)}
}

func (h *histogram) observe(v float64) {
	i, _ := slices.BinarySearch(h.bounds, v)
	h.counts[i].Add(1)
	addFloat(&h.sum, v)
}

func (h *histogram) collect(s *scrape) {
	total := uint64(0)
	for i := range h.counts {
		total += h.counts[i].Load()
		bound := math.Inf(1)
		if i < len(h.bounds) {
			bound = h.bounds[i]
		}
		s.add(h.family, sample{suffix: "_bucket", extra: "le", at: bound, value: float64(total)})
	}
	s.add(h.family,
		sample{suffix: "_sum", value: math.Float64frombits(h.sum.Load())},
		sample{suffix: "_count", value: float64(total)})
}
