package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"shellagent/bench/measure"
)

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   Spread
	}{
		{nil, Spread{}},
		{[]float64{7}, Spread{7, 7, 7}},
		{[]float64{4, 1, 3, 2, 5}, Spread{3, 2, 4}},
		{[]float64{1, 2}, Spread{1.5, 1.25, 1.75}},
		{[]float64{1, 1, 1, 1000}, Spread{1, 1, 250.75}},
	} {
		if got := Of(c.values); got != c.want {
			t.Errorf("%v: %v, want %v", c.values, got, c.want)
		}
	}
}

// A round in which the machine was ten times slower is no round in which we were.
func TestRatiosAreTakenRoundByRound(t *testing.T) {
	ours, theirs := []float64{10, 100, 11}, []float64{20, 200, 22}
	if got := Ratio(ours, theirs); got != (Spread{0.5, 0.5, 0.5}) {
		t.Errorf("%v", got)
	}
	if got := Ratio(ours, []float64{0, 50}); got.Median != 2 {
		t.Errorf("a round without a value counts: %v", got)
	}
}

// results are of one experiment with two metrics and four contestants.
func results() []measure.Result {
	return []measure.Result{{Experiment: "echo", Rounds: 2, Outcomes: []measure.Outcome{
		{Contestant: "ours", Values: map[string][]float64{"ms": {1, 3}, "MB/s": {30, 30}}},
		{Contestant: "theirs", Values: map[string][]float64{"ms": {2, 6}, "MB/s": {20, 20}}},
		{Contestant: "broken", Failed: "it fell\nover"},
		{Contestant: "absent", NotRun: "not offered"},
	}}}
}

func TestVerdicts(t *testing.T) {
	for _, c := range []struct {
		line Line
		want Verdict
	}{
		{Line{Metric: "ms", Ours: "ours", Theirs: "theirs", Goal: Goal{Most: 0.5}}, Met},
		{Line{Metric: "ms", Ours: "ours", Theirs: "theirs", Goal: Goal{Most: 0.4}}, Short},
		{Line{Metric: "MB/s", Ours: "ours", Theirs: "theirs", Goal: Goal{Least: 1.5}}, Met},
		{Line{Metric: "MB/s", Ours: "ours", Theirs: "theirs", Goal: Goal{Least: 1.6}}, Short},
		{Line{Metric: "ms", Ours: "ours", Theirs: "theirs"}, Shown},
		{Line{Metric: "ms", Ours: "ours", Goal: Goal{Zero: true}}, Short},
		{Line{Metric: "none", Ours: "ours", Theirs: "theirs", Goal: Goal{Most: 1}}, Failed},
		{Line{Metric: "ms", Ours: "broken", Theirs: "theirs", Goal: Goal{Most: 1}}, Failed},
		{Line{Metric: "ms", Ours: "ours", Theirs: "broken", Goal: Goal{Most: 1}}, Failed},
		{Line{Metric: "ms", Ours: "absent", Theirs: "theirs", Goal: Goal{Most: 1}}, NotRun},
		{Line{Metric: "ms", Ours: "ours", Theirs: "nobody", Goal: Goal{Most: 1}}, NotRun},
	} {
		c.line.Experiment = "echo"
		if got, ok := Judge(c.line, results()); !ok || got.Verdict != c.want {
			t.Errorf("%+v: %+v, want %q", c.line, got, c.want)
		}
	}
	if _, ok := Judge(Line{Experiment: "other"}, results()); ok {
		t.Error("an experiment that was not run is judged")
	}
}

func TestTheReportSaysWhatFallsShort(t *testing.T) {
	r := Report{Results: results(), Took: 12}
	r.Add([]Line{
		{What: "the echo", Experiment: "echo", Metric: "ms", Ours: "ours", Theirs: "theirs", Goal: Goal{Most: 0.4}},
		{What: "the flow", Experiment: "echo", Metric: "MB/s", Ours: "ours", Theirs: "theirs", Goal: Goal{Least: 1}},
		{What: "the rest", Experiment: "echo", Metric: "ms", Ours: "absent", Theirs: "theirs", Goal: Goal{Most: 1}},
		{What: "the fall", Experiment: "echo", Metric: "ms", Ours: "broken", Theirs: "theirs", Goal: Goal{Most: 1}},
		{What: "elsewhere", Experiment: "other", Metric: "ms", Ours: "ours", Goal: Goal{Most: 1}},
	})
	var out bytes.Buffer
	if err := r.WriteTable(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"the echo, against theirs", "0.50 (0.50 … 0.50)", "≤ 0.40", "SHORT",
		"falls short: the echo, against theirs: 0.50, goal ≤ 0.40\n",
		"NOT RUN: the rest: absent: not offered\n",
		"FAILED: the fall: broken: it fell over\n",
		"1 goals met, 1 fall short, 1 not run, 1 failed; 12 s\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "busy") {
		t.Errorf("an idle machine is called busy:\n%s", out.String())
	}
	r.Machine = Machine{Processors: 2, Load: 7.5}
	var busy bytes.Buffer
	if err := r.WriteTable(&busy); err != nil || !strings.Contains(busy.String(), "busy before the run began (load 7.5 on 2 processors)") {
		t.Errorf("%v\n%s", err, busy.String())
	}
	if strings.Contains(out.String(), "elsewhere") {
		t.Errorf("a line of another experiment:\n%s", out.String())
	}
	if !r.Broken() {
		t.Error("a contestant failed and nobody says so")
	}
	var written bytes.Buffer
	if err := r.WriteJSON(&written); err != nil {
		t.Fatal(err)
	}
	var read Report
	if err := json.Unmarshal(written.Bytes(), &read); err != nil {
		t.Fatal(err)
	}
	if len(read.Lines) != 4 || read.Lines[0].Ratio.Median != 0.5 || len(read.Results[0].Outcomes[0].Values["ms"]) != 2 {
		t.Errorf("%s", written.Bytes())
	}
}

func TestScaleIsDrawnAndWritten(t *testing.T) {
	s := Scale{Points: []measure.Point{
		{Sessions: 1, MemoryMiB: 15, KeyMicroseconds: 500, MBMilliseconds: 3},
		{Sessions: 100, MemoryMiB: 40, KeyMicroseconds: 490, MBMilliseconds: 3.1},
		{Sessions: 2000, MemoryMiB: 399.5, KeyMicroseconds: 510, MBMilliseconds: 2.9},
	}}
	var svg, table, written bytes.Buffer
	if err := errors.Join(s.WriteSVG(&svg), s.WriteTable(&table), s.WriteJSON(&written)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"</svg>", "idle sessions", "memory of the agent", "its CPU for a keystroke", "1000"} {
		if !strings.Contains(svg.String(), want) {
			t.Errorf("no %q in the drawing", want)
		}
	}
	var again bytes.Buffer
	if err := s.WriteSVG(&again); err != nil || !bytes.Equal(again.Bytes(), svg.Bytes()) {
		t.Errorf("the same points are drawn in another way: %v", err)
	}
	if !strings.Contains(table.String(), "399.5") || !strings.Contains(written.String(), `"memoryMiB": 399.5`) {
		t.Errorf("%s\n%s", table.String(), written.String())
	}
}
