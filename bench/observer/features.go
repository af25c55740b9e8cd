package observer

import (
	"slices"
	"time"
)

// sight is what the observer knows of one record on its way up, and, kept apart
// from that, what it was.
type sight struct {
	at       time.Time
	features []float64
	key      int  // index into the keys, -1 for none
	secret   bool // of the key
	before   time.Duration
}

// horizon is how far the observer looks for what a record is answered with.
const horizon = 50 * time.Millisecond

// never stands for what did not come within the horizon.
const never = 1000.0

// see makes the sights of a recording while keys were typed. lead is how long
// before it leaves a request is closed for keys.
func see(records []Record, keys []Press, lead time.Duration) []sight {
	if len(keys) < 2 {
		return nil
	}
	slices.SortStableFunc(records, func(a, b Record) int { return a.At.Compare(b.At) })
	first, last := keys[0].At, keys[len(keys)-1].At.Add(horizon)
	var sights []sight
	var before time.Time
	var sizeBefore int
	for i, r := range records {
		if !r.Up {
			continue
		}
		if !before.IsZero() && r.At.After(first) && r.At.Before(last) {
			s := sight{at: r.At, key: -1, before: r.At.Sub(before)}
			s.features = append(answers(records[i+1:], r), milliseconds(s.before), float64(r.Size), float64(sizeBefore))
			sights = append(sights, s)
		}
		before, sizeBefore = r.At, r.Size
	}
	label(sights, keys, lead)
	return sights
}

// answers are the features of what follows a record: when the next one leaves,
// and the first and second that come back on the same connection and on others.
func answers(later []Record, r Record) []float64 {
	f := []float64{never, never, 0, never, 0, never, 0, 0, 0}
	same, others := 1, 3
	for _, a := range later {
		after := milliseconds(a.At.Sub(r.At))
		if a.At.Sub(r.At) > horizon {
			break
		}
		switch {
		case a.Up:
			f[0] = after
			return f
		case a.Conn == r.Conn && same == 1:
			f[1], f[2], same = after, float64(a.Size), 0
		case a.Conn != r.Conn && others <= 5:
			f[others], f[others+1] = after, float64(a.Size)
			others += 2
		}
		f[7]++
		f[8] += float64(a.Size)
	}
	return f
}

// label says which record carried which key: the first one that it could be in.
func label(sights []sight, keys []Press, lead time.Duration) {
	i := 0
	for k, key := range keys {
		for i < len(sights) && sights[i].at.Before(key.At.Add(lead)) {
			i++
		}
		if i == len(sights) {
			return
		}
		if sights[i].key < 0 {
			sights[i].key, sights[i].secret = k, key.Secret
		}
	}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
