package report

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"shellagent/bench/measure"
)

// Machine is where the numbers come from.
type Machine struct {
	Kernel     string `json:"kernel"`
	Processors int    `json:"processors"`
	// Load is how many processes wanted a processor in the minute before the run.
	Load     float64           `json:"loadBefore"`
	Versions map[string]string `json:"versions"`
}

// Report is a whole run.
type Report struct {
	Began   time.Time        `json:"began"`
	Took    float64          `json:"tookSeconds"`
	Machine Machine          `json:"machine"`
	Results []measure.Result `json:"results"`
	Lines   []Judged         `json:"lines"`
}

// Add judges the lines whose experiments were run.
func (r *Report) Add(lines []Line) {
	for _, l := range lines {
		if j, ok := Judge(l, r.Results); ok {
			r.Lines = append(r.Lines, j)
		}
	}
}

// WriteJSON writes everything, single values included.
func (r *Report) WriteJSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}

// WriteTable writes the medians of everybody, then the lines with their goals,
// and at last which fall short.
func (r *Report) WriteTable(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "experiment\tcontestant\tmetric\tmedian\tquartiles\trounds")
	for _, result := range r.Results {
		for _, o := range result.Outcomes {
			switch {
			case o.NotRun != "":
				fmt.Fprintf(table, "%s\t%s\tNOT RUN: %s\n", result.Experiment, o.Contestant, oneLine(o.NotRun))
			case o.Failed != "":
				fmt.Fprintf(table, "%s\t%s\tFAILED: %s\n", result.Experiment, o.Contestant, oneLine(o.Failed))
			default:
				for _, metric := range o.Metrics() {
					s := Of(o.Values[metric])
					fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s … %s\t%d\n", result.Experiment, o.Contestant, metric, number(s.Median), number(s.Low), number(s.High), len(o.Values[metric]))
				}
			}
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	fmt.Fprintln(table, "what\tours\ttheirs\tratio (quartiles)\tgoal\tverdict")
	for _, j := range r.Lines {
		fmt.Fprintln(table, j.row())
	}
	if err := table.Flush(); err != nil {
		return err
	}
	return r.writeEnd(w)
}

func (j Judged) row() string {
	what := j.What
	if j.Against != "" {
		what += ", against " + j.Against
	}
	if j.Why != "" {
		return fmt.Sprintf("%s\t–\t–\t–\t%s\t%s", what, j.Goal, j.Verdict)
	}
	theirs, ratio := "", ""
	if j.Against != "" {
		theirs = number(j.Theirs.Median)
		ratio = fmt.Sprintf("%.2f (%.2f … %.2f)", j.Ratio.Median, j.Ratio.Low, j.Ratio.High)
	}
	return fmt.Sprintf("%s\t%s %s\t%s\t%s\t%s\t%s", what, number(j.Ours.Median), j.Metric, theirs, ratio, j.Goal, j.Verdict)
}

func (r *Report) writeEnd(w io.Writer) error {
	var text strings.Builder
	text.WriteString("\n")
	count := make(map[Verdict]int)
	for _, j := range r.Lines {
		count[j.Verdict]++
		switch j.Verdict {
		case Short:
			fmt.Fprintf(&text, "falls short: %s\n", j.short())
		case Failed, NotRun:
			fmt.Fprintf(&text, "%s: %s: %s\n", j.Verdict, j.What, oneLine(j.Why))
		}
	}
	fmt.Fprintf(&text, "%d goals met, %d fall short, %d not run, %d failed; %.0f s\n", count[Met], count[Short], count[NotRun], count[Failed], r.Took)
	if r.Machine.Load > float64(r.Machine.Processors)/2 {
		fmt.Fprintf(&text, "the machine was busy before the run began (load %.1f on %d processors): trust no figure, and ratios with care\n", r.Machine.Load, r.Machine.Processors)
	}
	_, err := io.WriteString(w, text.String())
	return err
}

// short tells by how much a goal is missed.
func (j Judged) short() string {
	if j.Against == "" {
		return fmt.Sprintf("%s: %s %s, goal %s", j.What, number(j.Ours.Median), j.Metric, j.Goal)
	}
	return fmt.Sprintf("%s, against %s: %.2f, goal %s", j.What, j.Against, j.Ratio.Median, j.Goal)
}

// Broken says whether a contestant failed in an experiment.
func (r *Report) Broken() bool {
	for _, result := range r.Results {
		for _, o := range result.Outcomes {
			if o.Failed != "" {
				return true
			}
		}
	}
	return false
}

func oneLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > 300 {
		s = s[:300] + "…"
	}
	return s
}

// number shows three significant digits, and no fewer than there are before the point.
func number(v float64) string {
	switch {
	case v >= 100 || v == 0:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}
