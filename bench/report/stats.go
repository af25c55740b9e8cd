// Package report turns what was measured into medians, ratios and a table that
// says which goals are met.
package report

import (
	"math"
	"slices"
)

// Spread sums up values: their median and the quartiles around it.
type Spread struct {
	Median float64 `json:"median"`
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
}

// Of returns the spread of values; without any it is zero.
func Of(values []float64) Spread {
	sorted := slices.Sorted(slices.Values(values))
	return Spread{at(sorted, 0.5), at(sorted, 0.25), at(sorted, 0.75)}
}

// at returns the quantile q of sorted values, between two of them if it is there.
func at(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	place := q * float64(len(sorted)-1)
	below := int(math.Floor(place))
	if below+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[below] + (place-float64(below))*(sorted[below+1]-sorted[below])
}

// Ratio returns the spread of ours to theirs, round by round: what slows the
// machine down for one round slows both.
func Ratio(ours, theirs []float64) Spread {
	var ratios []float64
	for i := range min(len(ours), len(theirs)) {
		if theirs[i] != 0 {
			ratios = append(ratios, ours[i]/theirs[i])
		}
	}
	return Of(ratios)
}
