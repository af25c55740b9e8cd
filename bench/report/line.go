package report

import (
	"fmt"

	"shellagent/bench/measure"
)

// Goal bounds a ratio, or a value where there is nobody to compare with.
type Goal struct {
	// Most or Least is the bound; the other one is 0.
	Most, Least float64
	// Zero wants the value 0 of ours; there is no ratio.
	Zero bool
}

// String is as the table shows it.
func (g Goal) String() string {
	switch {
	case g.Zero:
		return "0"
	case g.Most > 0:
		return fmt.Sprintf("≤ %.2f", g.Most)
	case g.Least > 0:
		return fmt.Sprintf("≥ %.2f", g.Least)
	}
	return "–"
}

// met says whether a value is within the goal; no goal is always met.
func (g Goal) met(v float64) bool {
	switch {
	case g.Zero:
		return v == 0
	case g.Most > 0:
		return v <= g.Most
	case g.Least > 0:
		return v >= g.Least
	}
	return true
}

// Line is a row of the table: a metric of ours against somebody else's.
type Line struct {
	What         string
	Experiment   string
	Metric       string
	Ours, Theirs string // contestants
	Goal         Goal
}

// Verdict is what became of a line's goal.
type Verdict string

// The verdicts. A line without a goal is shown, and never falls short.
const (
	Met    Verdict = "ok"
	Short  Verdict = "SHORT"
	Failed Verdict = "FAILED"
	NotRun Verdict = "NOT RUN"
	Shown  Verdict = ""
)

// Judged is a line with its numbers.
type Judged struct {
	What    string  `json:"what"`
	Metric  string  `json:"metric"`
	Against string  `json:"against,omitempty"`
	Ours    Spread  `json:"ours"`
	Theirs  Spread  `json:"theirs"`
	Ratio   Spread  `json:"ratio"`
	Goal    string  `json:"goal"`
	Verdict Verdict `json:"verdict"`
	// Why explains a line that has no numbers.
	Why string `json:"why,omitempty"`
}

// Judge looks a line up in the results. It returns false when its experiment is
// not among them.
func Judge(l Line, results []measure.Result) (Judged, bool) {
	j := Judged{What: l.What, Metric: l.Metric, Against: l.Theirs, Goal: l.Goal.String()}
	for _, r := range results {
		if r.Experiment == l.Experiment {
			j.judge(l, r)
			return j, true
		}
	}
	return j, false
}

func (j *Judged) judge(l Line, r measure.Result) {
	ours, ok := j.find(l.Ours, r)
	if !ok {
		return
	}
	j.Ours = Of(ours.Values[l.Metric])
	value := j.Ours.Median
	if l.Theirs != "" {
		theirs, ok := j.find(l.Theirs, r)
		if !ok {
			return
		}
		j.Theirs = Of(theirs.Values[l.Metric])
		j.Ratio = Ratio(ours.Values[l.Metric], theirs.Values[l.Metric])
		value = j.Ratio.Median
	}
	switch {
	case len(ours.Values[l.Metric]) == 0:
		j.Verdict, j.Why = Failed, "no values of "+l.Metric
	case l.Goal == Goal{}:
		j.Verdict = Shown
	case l.Goal.met(value):
		j.Verdict = Met
	default:
		j.Verdict = Short
	}
}

func (j *Judged) find(name string, r measure.Result) (measure.Outcome, bool) {
	for _, o := range r.Outcomes {
		switch {
		case o.Contestant != name:
		case o.Failed != "":
			j.Verdict, j.Why = Failed, name+": "+o.Failed
			return o, false
		case o.NotRun != "":
			j.Verdict, j.Why = NotRun, name+": "+o.NotRun
			return o, false
		default:
			return o, true
		}
	}
	j.Verdict, j.Why = NotRun, name+" is no contestant"
	return measure.Outcome{}, false
}
