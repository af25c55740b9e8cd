package observer

import (
	"math"
	"slices"
	"sort"
)

// bins is into how many a feature is cut, by quantiles of what was learned from.
const bins = 8

// classifier tells two classes apart: naive Bayes over histograms, which sees a
// shift, a spread and a size of its own, whatever the distribution.
type classifier struct {
	cuts [][]float64
	odds [][]float64 // log odds of each bin of each feature
}

// learn makes a classifier of examples of both classes.
func learn(yes, no [][]float64) *classifier {
	if len(yes) == 0 || len(no) == 0 {
		return nil
	}
	c := new(classifier)
	for f := range yes[0] {
		cuts := quantiles(f, yes, no)
		count := [2][]float64{make([]float64, len(cuts)+1), make([]float64, len(cuts)+1)}
		for class, all := range [2][][]float64{yes, no} {
			for _, x := range all {
				count[class][bin(cuts, x[f])]++
			}
		}
		odds := make([]float64, len(cuts)+1)
		for b := range odds {
			odds[b] = math.Log((count[0][b]+1)/float64(len(yes)+bins)) - math.Log((count[1][b]+1)/float64(len(no)+bins))
		}
		c.cuts, c.odds = append(c.cuts, cuts), append(c.odds, odds)
	}
	return c
}

// quantiles gives both classes the same weight, however many examples they have.
func quantiles(f int, yes, no [][]float64) []float64 {
	var values []float64
	for _, all := range [2][][]float64{yes, no} {
		own := make([]float64, len(all))
		for i, x := range all {
			own[i] = x[f]
		}
		slices.Sort(own)
		for b := 1; b < bins; b++ {
			values = append(values, own[b*len(own)/bins])
		}
	}
	slices.Sort(values)
	return slices.Compact(values)
}

// bin is how many of the cuts are at or below x.
func bin(cuts []float64, x float64) int {
	return sort.Search(len(cuts), func(i int) bool { return cuts[i] > x })
}

// score is the more positive, the more x looks like the first class.
func (c *classifier) score(x []float64) float64 {
	sum := 0.0
	for f, v := range x {
		sum += c.odds[f][bin(c.cuts[f], v)]
	}
	return sum
}
