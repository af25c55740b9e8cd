package observer

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// Score is what an estimator reached, and what it reaches by chance: on the same
// recording with another truth.
type Score struct {
	Value float64 `json:"value"`
	// Null is the mean by chance, Null95 what 95 % of those stay below.
	Null   float64 `json:"null"`
	Null95 float64 `json:"null95"`
	// Of is how many examples there were; 0 says that there was nothing to tell apart.
	Of int `json:"of"`
}

// Above is how much better than chance the estimator was.
func (s Score) Above() float64 { return s.Value - s.Null }

// Within says that the estimator was not better than chance by more than a
// margin, or not by more than chance itself would now and then.
func (s Score) Within(margin float64) bool { return s.Above() <= margin || s.Value <= s.Null95 }

// Verdict is what an observer could make of a recording.
type Verdict struct {
	Keys    int `json:"keys"`
	Records int `json:"records"` // on their way up while keys were typed
	// Sizes are how many different sizes those had.
	Sizes int `json:"sizes"`
	// Gaps is the mutual information, in bits, between the time from a key to the
	// next and the time that passed on the wire before the record with that one,
	// for an observer who is even told which record that is.
	Gaps Score `json:"gaps"`
	// Found is the F1 of finding the records with keys, who is told how many.
	Found Score `json:"found"`
	// Key is the accuracy of telling a record with a key from one without, Secret
	// that of telling a password's key from one that was shown; both are asked
	// as often about the one as about the other.
	Key    Score `json:"key"`
	Secret Score `json:"secret"`
}

// shuffles is how often the truth is shuffled.
const shuffles = 40

// Judge lets an observer learn from one half of a recording and tries it on the
// other, and the other way round.
func Judge(records []Record, keys []Press, lead time.Duration) Verdict {
	sights := see(records, keys, lead)
	v := Verdict{Keys: len(keys), Records: len(sights)}
	sizes := make(map[float64]bool)
	var isKey, isSecret []bool
	var all, typed [][]float64
	for _, s := range sights {
		sizes[s.features[len(s.features)-2]] = true
		all, isKey = append(all, s.features), append(isKey, s.key >= 0)
		if s.key >= 0 {
			typed, isSecret = append(typed, s.features), append(isSecret, s.secret)
		}
	}
	v.Sizes = len(sizes)
	v.Gaps = gapInformation(sights, keys)
	turned := func() []bool { return rotated(sights, keys, lead) }
	v.Found = scored(all, isKey, foundF1, turned)
	v.Key = scored(all, isKey, accuracy, turned)
	v.Secret = scored(typed, isSecret, accuracy, func() []bool {
		rand.Shuffle(len(isSecret), func(i, j int) { isSecret[i], isSecret[j] = isSecret[j], isSecret[i] })
		return isSecret
	})
	return v
}

// rotated says which records would have carried a key, had all keys been pressed
// later by the same time, those at the end at the start. A shuffle would do
// chance wrong: where a tick was left out, twice as many keys go into the next,
// whoever presses them.
func rotated(sights []sight, keys []Press, lead time.Duration) []bool {
	truth := make([]bool, len(sights))
	if len(keys) < 2 {
		return truth
	}
	first := keys[0].At
	span := keys[len(keys)-1].At.Sub(first)
	by := span/10 + rand.N(span*8/10+1)
	other := make([]Press, len(keys))
	for i, k := range keys {
		other[i].At = first.Add((k.At.Sub(first) + by) % span)
	}
	slices.SortFunc(other, func(a, b Press) int { return a.At.Compare(b.At) })
	moved := make([]sight, len(sights))
	for i, s := range sights {
		moved[i] = sight{at: s.at, key: -1}
	}
	label(moved, other, lead)
	for i, s := range moved {
		truth[i] = s.key >= 0
	}
	return truth
}

// scored crosses two halves, with the truth and with others that chance might
// have made.
func scored(x [][]float64, truth []bool, measure func(scores []float64, truth []bool) float64, other func() []bool) Score {
	s := Score{Value: crossed(x, truth, measure), Of: len(x)}
	if math.IsNaN(s.Value) {
		return Score{}
	}
	var null []float64
	for range shuffles {
		shuffled := other()
		if n := crossed(x, shuffled, measure); !math.IsNaN(n) {
			null = append(null, n)
		}
	}
	s.Null, s.Null95 = meanAnd95(null)
	return s
}

// crossed learns from each half and measures on the other.
func crossed(x [][]float64, truth []bool, measure func([]float64, []bool) float64) float64 {
	half := len(x) / 2
	sum := 0.0
	for _, h := range [2][2]int{{0, half}, {half, len(x)}} {
		var yes, no [][]float64
		for i := range x {
			switch {
			case i >= h[0] && i < h[1]:
			case truth[i]:
				yes = append(yes, x[i])
			default:
				no = append(no, x[i])
			}
		}
		c := learn(yes, no)
		scores := make([]float64, 0, half+1)
		for _, e := range x[h[0]:h[1]] {
			if c == nil { // one class alone: everything is of it
				scores = append(scores, 0)
				continue
			}
			scores = append(scores, c.score(e))
		}
		sum += measure(scores, truth[h[0]:h[1]])
	}
	return sum / 2
}

// accuracy weighs both classes alike. Without one of them it is not a number.
func accuracy(scores []float64, truth []bool) float64 {
	var right, of [2]float64
	for i, s := range scores {
		class := 0
		if truth[i] {
			class = 1
		}
		of[class]++
		switch {
		case s == 0:
			right[class] += 0.5
		case s > 0 == truth[i]:
			right[class]++
		}
	}
	return (right[0]/of[0] + right[1]/of[1]) / 2
}

// foundF1 takes as many of the highest scores as there are keys, so that
// precision, recall and F1 are the same.
func foundF1(scores []float64, truth []bool) float64 {
	order := rand.Perm(len(scores)) // so that equals are in no order
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case scores[a] > scores[b]:
			return -1
		case scores[a] < scores[b]:
			return 1
		}
		return 0
	})
	keys, hits := 0, 0
	for _, t := range truth {
		if t {
			keys++
		}
	}
	for _, i := range order[:keys] {
		if truth[i] {
			hits++
		}
	}
	return float64(hits) / float64(keys)
}

// gapInformation is [Verdict.Gaps].
func gapInformation(sights []sight, keys []Press) Score {
	var truth, seen []float64
	for _, s := range sights {
		if s.key > 0 {
			truth = append(truth, milliseconds(keys[s.key].At.Sub(keys[s.key-1].At)))
			seen = append(seen, milliseconds(s.before))
		}
	}
	if len(truth) < 2*gapBins*gapBins {
		return Score{}
	}
	s := Score{Value: information(truth, seen), Of: len(truth)}
	var null []float64
	for range shuffles {
		rand.Shuffle(len(seen), func(i, j int) { seen[i], seen[j] = seen[j], seen[i] })
		null = append(null, information(truth, seen))
	}
	s.Null, s.Null95 = meanAnd95(null)
	return s
}

// gapBins is into how many equally frequent classes gaps are cut.
const gapBins = 5

// information is the mutual information of two series, in bits.
func information(a, b []float64) float64 {
	ca, cb := classes(a), classes(b)
	var joint [gapBins][gapBins]float64
	var pa, pb [gapBins]float64
	one := 1 / float64(len(a))
	for i := range a {
		joint[ca[i]][cb[i]] += one
		pa[ca[i]] += one
		pb[cb[i]] += one
	}
	sum := 0.0
	for i := range joint {
		for j, p := range joint[i] {
			if p > 0 {
				sum += p * math.Log2(p/(pa[i]*pb[j]))
			}
		}
	}
	return sum
}

// classes is the class of each value, by rank.
func classes(x []float64) []int {
	order := make([]int, len(x))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		switch {
		case x[a] < x[b]:
			return -1
		case x[a] > x[b]:
			return 1
		}
		return a - b
	})
	class := make([]int, len(x))
	for rank, i := range order {
		class[i] = rank * gapBins / len(x)
	}
	return class
}

func meanAnd95(x []float64) (mean, p95 float64) {
	if len(x) == 0 {
		return 0, 0
	}
	slices.Sort(x)
	for _, v := range x {
		mean += v / float64(len(x))
	}
	return mean, x[min(len(x)-1, len(x)*95/100)]
}
